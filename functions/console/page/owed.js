// What is owed: filters that are all in the address, a list, and what can be done about it.

import { confirm } from "./dialog.js";
import { h, said } from "./dom.js";
import { t, time, word } from "./text.js";

const REASONS = ["validation", "conflict", "missing-prerequisite", "ambiguous", "remote-fault", "timed-out", "forgotten", "warned"];
const STAGES = ["to-erp", "code-to-norce", "fields-to-norce"];
const KINDS = ["customer", "company"];
/** As many are listed, and as many more with each step. */
const PAGE = 50;
/** The server lists no more. */
const MOST = 2000;

/** The chosen records, by subject and stage. They stay chosen while the list is read again. */
const chosen = new Map();
const keyOf = (line) => `${line.subject} ${line.stage}`;

/** The filters of an address, as the operator takes them. */
function filters(query) {
  const filter = {};
  for (const name of ["subject", "reason", "stage", "kind"]) {
    if (query.get(name)) filter[name] = query.get(name);
  }
  if (query.get("dismissed")) filter.dismissed = true;
  return filter;
}

/** One filter in words. */
function inWords([name, value]) {
  if (name === "dismissed") return t("setAsideOnes");
  return `${t(`filter.${name}`)}: ${name === "subject" ? value : word(name, value)}`;
}

function address(query, changes) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  return `/console/owed${text && `?${text}`}`;
}

function select(context, name, values) {
  const { query } = context;
  return h("label", null, t(`filter.${name}`),
    h("select", { "data-key": `filter-${name}`, onchange: (event) => filter(context, { [name]: event.target.value }) },
      h("option", { value: "" }, t("all")),
      values.map((value) => h("option", { value, selected: query.get(name) === value }, word(name, value)))));
}

function filter(context, changes) {
  chosen.clear();
  context.go(address(context.query, { ...changes, limit: "" }));
}

/** Does something to each of some records in turn, and says how far it has come. */
async function each(lines, context, say, signal, body, done) {
  let [count, gone] = [0, 0];
  for (const line of lines) {
    if (signal.aborted) break;
    say(t("progress", { done: count + gone, n: lines.length }));
    try {
      const answer = await context.ask("owed", { ...body, subject: line.subject, stage: line.stage }, signal);
      // Somebody else may have been quicker, or it has resolved itself.
      if (answer.retried || answer.dismissed) count += 1;
      else gone += 1;
    } catch (fault) {
      if (!signal.aborted) throw fault;
      break;
    }
    chosen.delete(keyOf(line));
  }
  say(t(done, { n: count }), gone > 0 && ` ${t("noLonger", { n: gone })}`);
  context.reload();
}

/** The first of some records, for a question. */
function first(lines) {
  return h("ul", null, lines.slice(0, 5).map((line) => h("li", null, line.subject)), lines.length > 5 && h("li", null, t("andMore", { n: lines.length - 5 })));
}

export function retry(lines, context) {
  confirm({
    title: t("retry.title", { n: lines.length }), text: [h("p", null, t("retry.text")), first(lines)], label: t("retry"),
    go: (say, signal) => each(lines, context, say, signal, { do: "retry" }, "retry.done"),
  });
}

function retryAll(data, context) {
  const filter = filters(context.query);
  const words = Object.entries(filter).map(inWords);
  confirm({
    title: t("retry.title", { n: data.found }),
    text: [h("p", null, words.length ? words.join(" · ") : t("noFilter")), first(data.owed), h("p", null, t("retry.text"))],
    label: t("retry"),
    go: async (say, signal) => {
      const answer = await context.ask("owed", { ...filter, do: "retry" }, signal);
      say(t("retry.done", { n: answer.retried ?? 0 }), " ", said(answer.summary));
      context.reload();
    },
  });
}

export function setAside(lines, context) {
  const reason = h("textarea", { id: "because", required: true, rows: 3, maxlength: 500 });
  confirm({
    title: t("setAside.title", { n: lines.length }), text: [h("p", null, t("setAside.text")), first(lines)],
    fields: h("label", null, t("because"), reason),
    label: t("setAside"),
    isReady: () => reason.value.trim() !== "",
    go: (say, signal) => each(lines, context, say, signal, { do: "dismiss", because: reason.value.trim() }, "setAside.done"),
  });
}

/** A record with what is owed of it. */
export function card(line, context, box) {
  const subject = `/console/record?ref=${encodeURIComponent(line.subject)}`;
  const isEntity = /^(customer|company)\//.test(line.subject);
  return h("li", { class: "card" },
    h("div", { class: "line" }, box,
      isEntity ? h("a", { href: subject }, line.subject) : h("b", null, line.subject), line.code && h("span", null, line.code),
      h("span", { class: "chip" }, word("reason", line.reason)), h("span", { class: "chip" }, word("stage", line.stage))),
    said(line.detail, "p"),
    h("p", { class: "small" }, t("since"), " ", time(line.first), " · ", t("attempts", { n: line.attempts }),
      line.nextAttempt && [" · ", t("next"), " ", time(line.nextAttempt)]),
    line.dismissed && h("p", null, t("setAsideBecause"), " ", h("q", null, line.dismissed)),
    context.may("act") && h("div", { class: "buttons" },
      h("button", { type: "button", "data-key": `retry ${keyOf(line)}`, onclick: () => retry([line], context) }, t("retry")),
      !line.dismissed && h("button", { type: "button", "data-key": `aside ${keyOf(line)}`, onclick: () => setAside([line], context) }, t("setAside…"))));
}

function csv(lines) {
  const columns = ["subject", "code", "stage", "reason", "detail", "first", "last", "attempts", "nextAttempt", "dismissed"];
  // A spreadsheet takes what begins like this for a formula.
  const cell = (value) => `"${String(value ?? "").replace(/^(?=[=+\-@\t\r])/, "'").replaceAll('"', '""')}"`;
  const rows = [columns, ...lines.map((line) => columns.map((column) => line[column]))];
  // The mark at the beginning tells Excel that it is UTF-8.
  return `\ufeff${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

function download(lines) {
  const url = URL.createObjectURL(new Blob([csv(lines)], { type: "text/csv" }));
  h("a", { href: url, download: "owed.csv", target: "_self" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

export const owed = {
  load({ ask, query }, signal) {
    const limit = Math.min(Number(query.get("limit")) || PAGE, MOST);
    return ask("owed", { ...filters(query), limit }, signal);
  },
  frame: (context) => bar(context),
  view(data, context) {
    const { query } = context;
    const active = Object.entries(filters(query));
    const picked = data.owed.filter((line) => chosen.has(keyOf(line)));
    const pick = (line, isOn) => {
      if (isOn) chosen.set(keyOf(line), line);
      else chosen.delete(keyOf(line));
      context.render();
    };
    const limit = data.owed.length;
    return [
      active.length > 0 && h("p", { class: "chips" }, active.map(([name, value]) =>
        h("button", { type: "button", class: "chip", "data-key": `chip-${name}`, onclick: () => filter(context, { [name]: "" }) }, inWords([name, value]), " ", h("span", { "aria-hidden": "true" }, "×"), h("span", { class: "hidden" }, t("remove"))))),
      h("p", { role: "status" }, limit < data.found ? t("shown", { shown: limit, n: data.found }) : t("found", { n: data.found })),
      data.found === 0 && h("p", { class: "empty" }, active.length ? t("owed.noneOfFilter") : t("owed.none")),
      limit > 0 && h("div", { class: "buttons" },
        context.may("act") && [
          h("label", null, h("input", { type: "checkbox", "data-key": "all", checked: picked.length === limit, indeterminate: picked.length > 0 && picked.length < limit,
            onchange: (event) => { for (const line of data.owed) event.target.checked ? chosen.set(keyOf(line), line) : chosen.delete(keyOf(line)); context.render(); } }), t("chooseShown", { n: limit })),
          picked.length > 0 && h("button", { type: "button", class: "primary", "data-key": "retry-chosen", onclick: () => retry(picked, context) }, t("retryN", { n: picked.length })),
          picked.length > 0 && !query.get("dismissed") && h("button", { type: "button", "data-key": "aside-chosen", onclick: () => setAside(picked, context) }, t("setAsideN", { n: picked.length })),
          h("button", { type: "button", "data-key": "retry-all", onclick: () => retryAll(data, context) }, t("retryAll", { n: data.found }))],
        h("button", { type: "button", "data-key": "csv", onclick: () => download(data.owed) }, t("csv"))),
      h("ul", { class: "cards" }, data.owed.map((line) => card(line, context,
        context.may("act") && h("input", { type: "checkbox", "data-key": `box ${keyOf(line)}`, "aria-label": t("choose", { subject: line.subject }), checked: chosen.has(keyOf(line)), onchange: (event) => pick(line, event.target.checked) })))),
      limit < data.found && limit < MOST && h("p", null, h("a", { class: "button", "data-key": "more", href: address(query, { limit: String(Math.min(limit + 4 * PAGE, MOST)) }) }, t("more"))),
    ];
  },
};

function bar(context) {
  const { query } = context;
  const subject = h("input", { value: query.get("subject") ?? "", "data-key": "filter-subject", autocomplete: "off" });
  return h("form", { class: "filters", onsubmit: (event) => { event.preventDefault(); filter(context, { subject: subject.value.trim() }); } },
    select(context, "reason", REASONS), select(context, "stage", STAGES), select(context, "kind", KINDS),
    h("label", null, t("filter.subject"), subject),
    h("label", null, h("input", { type: "checkbox", "data-key": "filter-dismissed", checked: Boolean(query.get("dismissed")), onchange: (event) => filter(context, { dismissed: event.target.checked ? "1" : "" }) }), t("setAsideOnes")),
    h("button", { type: "submit", "data-key": "filter" }, t("apply")));
}

// What is owed: in groups of the same words, or one by one; filters that are all in the address, and what can be done about it.

import { ofFilter, ofLines, retry, setAside, takeBack } from "./acts.js";
import { button, h, said, says } from "./dom.js";
import { addressWith, bar, chips, cursorOf, download, field, filtersOf, pages, readAll, select } from "./list.js";
import { number, t, time, word } from "./text.js";

const REASONS = ["validation", "conflict", "missing-prerequisite", "ambiguous", "remote-fault", "timed-out", "forgotten", "warned"];
const STAGES = ["to-erp", "code-to-norce", "fields-to-norce"];
const KINDS = ["customer", "company"];
/** So many are on a page. */
const PAGE = 50;
/** So many groups are shown: more than that is no overview. */
const GROUPS = 200;
/** The server lists no more at once; for files. */
const MOST = 2000;

/** The chosen records of this page, by subject and stage. They stay chosen while it is read again. */
const chosen = new Map();
/** All that match are chosen: as they were then. */
let everything = null;
/** Words that are searched for and may be an e-mail address: in no address, and forgotten with the screen. */
let secret = "";

const keyOf = (line) => `${line.subject} ${line.stage}`;
const isEntity = (subject) => /^(customer|company)\//.test(subject);

/** The filters of an address, as the operator takes them. */
function filters(query) {
  const filter = filtersOf(query, ["subject", "reason", "stage", "kind", "group", "q"]);
  if (secret) filter.q = secret;
  if (query.get("dismissed")) filter.dismissed = true;
  return filter;
}

/** Groups, unless something more particular is asked for. */
function isGrouped(query) {
  const view = query.get("view");
  return view ? view === "groups" : Object.keys(filters(query)).every((name) => name === "dismissed");
}

/** One filter in words. */
function inWords(name, value) {
  if (name === "dismissed") return t("setAsideOnes");
  if (name === "group") return t("filter.group");
  return `${t(`filter.${name}`)}: ${["subject", "q"].includes(name) ? value : word(name, value)}`;
}

const allInWords = (filter) => Object.entries(filter).map(([name, value]) => inWords(name, value)).join(" · ") || t("noFilter");

/** Goes to the list with other filters. */
function filter(context, changes) {
  forgetChoice();
  // No e-mail address gets into an address, wherever it was typed.
  if (changes.subject?.includes("@")) changes = { ...changes, q: changes.subject, subject: "" };
  if ("q" in changes) {
    secret = changes.q.includes("@") ? changes.q : "";
    if (secret) changes.q = "";
  }
  const address = addressWith(changes);
  // The same address with another secret is another question.
  if (address === location.pathname + location.search) context.reload();
  else context.go(address);
}

function forgetChoice() {
  chosen.clear();
  everything = null;
}

/** A subject, which leads to its record where it has one. */
export function subjectLink(subject) {
  return isEntity(subject) ? h("a", { href: `/console/record?ref=${encodeURIComponent(subject)}` }, subject) : h("b", null, subject);
}

/** A record with what is owed of it. */
export function card(line, context, box) {
  const key = keyOf(line);
  const target = ofLines([line]);
  const by = line.dismissedBy;
  return h("li", { class: "card" },
    h("div", { class: "line" }, box, subjectLink(line.subject), line.code && h("span", null, line.code),
      h("span", { class: "chip" }, word("reason", line.reason)), h("span", { class: "chip" }, word("stage", line.stage))),
    said(line.detail, "p"),
    says(line, "fix", "p"),
    h("p", { class: "small" }, t("since"), " ", time(line.first), " · ", t("attempts", { n: line.attempts }),
      line.nextAttempt && [" · ", t("next"), " ", time(line.nextAttempt)]),
    line.dismissed && h("p", null, t("setAsideBy", { who: by ? by.name ?? by.user : t("somebody") }), " ", time(line.dismissedAt), ": ", h("q", null, line.dismissed)),
    context.may("act") && h("div", { class: "buttons" },
      line.dismissed
        ? button(`back ${key}`, t("takeBack"), () => takeBack(target, context))
        : [button(`retry ${key}`, t("retry"), () => retry(target, context)), button(`aside ${key}`, t("setAside…"), () => setAside(target, context))]));
}

/** Saves what a filter leaves, without names: there are none in what is owed. */
async function save(context, filter) {
  const columns = ["subject", "code", "stage", "reason", "detail", "first", "last", "attempts", "nextAttempt", "dismissed"];
  const lines = await readAll(context, "owed", { ...filter, limit: MOST }, "owed");
  download("owed", columns, lines.map((line) => columns.map((column) => line[column])));
  context.notify(t("exported", { n: lines.length }));
}

/** The buttons for some records. */
function acts(target, context, key, then) {
  const { count } = target;
  // The server changes nothing of everything at once but tries it again.
  const isEverything = target.filter && Object.keys(target.filter).every((name) => name === "dismissed");
  return context.may("act") && (context.query.get("dismissed")
    ? !isEverything && button(`back-${key}`, t("takeBackN", { n: count }), () => takeBack(target, context, then))
    : [button(`retry-${key}`, t("retryN", { n: count }), () => retry(target, context, then), { class: "primary" }),
      !isEverything && button(`aside-${key}`, t("setAsideN", { n: count }), () => setAside(target, context, then))]);
}

function groups(data, context) {
  const all = filters(context.query);
  return h("ul", { class: "cards" }, data.groups.map((group) => {
    const { count } = group;
    // Where words are of too many kinds there is no group to ask for: they are listed by what is left.
    const show = addressWith(group.group ? { group: group.group, view: "" } : { view: "list", reason: group.reason, stage: group.stage });
    const own = { ...all, group: group.group };
    const key = group.group ?? `${group.reason} ${group.stage}`;
    return h("li", { class: "card group" },
      h("b", { class: "count" }, number(count)),
      h("div", null,
        h("div", { class: "line" }, h("span", { class: "chip" }, word("reason", group.reason)), h("span", { class: "chip" }, word("stage", group.stage))),
        said(group.words, "p") ?? h("p", null, t("group.other")),
        says(group, "fix", "p"),
        h("p", { class: "small" }, t("oldestSince"), " ", time(group.oldest), group.nextAttempt && [" · ", t("next"), " ", time(group.nextAttempt)]),
        h("p", { class: "small" }, t("samples"), " ", group.samples.map((subject, at) => [at > 0 && ", ", subjectLink(subject)])),
        h("div", { class: "buttons" },
          h("a", { class: "button", href: show, "data-key": `show ${key}` }, t("show")),
          group.group && [acts(ofFilter(own, data, count, group.samples, group.words), context, `group ${key}`),
            button(`csv ${key}`, t("export"), () => context.attempt(save(context, own)))])));
  }));
}

/** The boxes and what is done with what they choose. */
function choice(data, context) {
  const { owed, found } = data;
  const isAll = owed.every((line) => chosen.has(keyOf(line)));
  const mark = (isOn) => {
    everything = null;
    for (const line of owed) isOn ? chosen.set(keyOf(line), line) : chosen.delete(keyOf(line));
    context.render();
  };
  const target = everything ?? ofLines(owed.filter((line) => chosen.has(keyOf(line))));
  return [
    h("div", { class: "buttons" },
      context.may("act") && h("label", null, h("input", { type: "checkbox", "data-key": "all", checked: isAll, indeterminate: target.count > 0 && !isAll, onchange: (event) => mark(event.target.checked) }), t("chooseShown", { n: owed.length })),
      target.count > 0 && acts(target, context, "chosen", forgetChoice),
      button("csv", t("export"), () => context.attempt(save(context, filters(context.query))))),
    // A second step: nobody acts on thousands who meant a page.
    context.may("act") && isAll && found > owed.length && h("p", { class: "all" },
      everything ? [t("allChosen", { n: everything.count }), " ", button("choose-none", t("chooseNone"), () => mark(false))]
        : [t("pageChosen", { n: owed.length }), " ", button("choose-all", t("chooseAll", { n: found }), () => {
          const filter = filters(context.query);
          everything = ofFilter(filter, data, found, owed.map((line) => line.subject), allInWords(filter));
          context.render();
        })]),
  ];
}

function list(data, context) {
  const pick = (line, isOn) => {
    everything = null;
    if (isOn) chosen.set(keyOf(line), line);
    else chosen.delete(keyOf(line));
    context.render();
  };
  const box = (line) => context.may("act") && h("input", { type: "checkbox", "data-key": `box ${keyOf(line)}`, "aria-label": t("choose", { subject: line.subject }), checked: chosen.has(keyOf(line)), onchange: (event) => pick(line, event.target.checked) });
  return [
    data.owed.length > 0 && choice(data, context),
    h("ul", { class: "cards" }, data.owed.map((line) => card(line, context, box(line)))),
    pages(context.query, data),
  ];
}

/** The address of the last page that was shown: what was chosen on another is not chosen any more. */
let last = "";

export const owed = {
  load({ ask, query }, signal) {
    if (location.search !== last) forgetChoice();
    last = location.search;
    if (isGrouped(query)) return ask("owed", { ...filters(query), groups: true, limit: GROUPS }, signal);
    return ask("owed", { ...filters(query), limit: PAGE, cursor: cursorOf(query) }, signal);
  },
  leave() {
    secret = "";
    forgetChoice();
  },
  frame(context) {
    const { query } = context;
    const shown = isGrouped(query);
    const way = (key, is, address) => h("a", { href: address, "data-key": `view-${key}`, "aria-current": is ? "true" : null }, t(`view.${key}`));
    return [
      h("p", { class: "lead" }, t("owed.lead")),
      bar((typed) => filter(context, typed),
        field("q", filters(query).q), field("subject", query.get("subject")),
        select(context, "reason", REASONS), select(context, "stage", STAGES), select(context, "kind", KINDS),
        h("label", null, h("input", { type: "checkbox", "data-key": "filter-dismissed", checked: Boolean(query.get("dismissed")), onchange: (event) => filter(context, { dismissed: event.target.checked ? "1" : "" }) }), t("setAsideOnes"))),
      h("p", { class: "switch" }, way("groups", shown, addressWith({ view: "groups", group: "" })), way("list", !shown, addressWith({ view: "list" }))),
      chips(Object.entries(filters(query)), inWords, (name) => filter(context, { [name]: "" })),
    ];
  },
  view(data, context) {
    const shown = data.owed.length;
    const hasFilter = Object.keys(filters(context.query)).length > 0;
    return [
      h("p", { role: "status" }, data.groups ? `${t("found", { n: data.found })} · ${t("groups", { n: data.groups.length })}`
        : shown < data.found ? t("shown", { shown, n: data.found }) : t("found", { n: data.found })),
      data.found === 0 && h("p", { class: "empty" }, t(hasFilter ? "owed.noneOfFilter" : "owed.none")),
      data.groups ? groups(data, context) : list(data, context),
    ];
  },
};

// One customer or company: what is known of it, and what would happen now.

import { who } from "./activity.js";
import { Fault } from "./api.js";
import { confirm } from "./dialog.js";
import { button, copy, facts, h, said, says, saysEach } from "./dom.js";
import { card } from "./owed.js";
import { t, time, word } from "./text.js";

/** What somebody has typed, as the operator takes it. An e-mail address gets into no address: it is only ever posted. */
function question(text, kind) {
  if (/^(customer|company)\/[^/]+\/\d+$/.test(text)) return { entity: text };
  if (text.includes("@")) return { email: text };
  if (/^\d{1,18}$/.test(text)) return { id: Number(text), kind };
  return { code: text, kind };
}

/** An e-mail address that was typed and is being looked up; it is forgotten with the answer, whatever that is. */
let pending = null;

/** The search of the shell. */
export function search(context) {
  const input = h("input", { type: "search", id: "search", "data-key": "search", autocomplete: "off", spellcheck: "false", required: true, placeholder: t("search.hint"), "aria-label": t("search") });
  const kind = h("select", { "data-key": "search-kind", "aria-label": t("filter.kind") },
    ["customer", "company"].map((value) => h("option", { value }, word("kind", value))));
  return h("form", {
    role: "search",
    onsubmit: (event) => {
      event.preventDefault();
      const asked = question(input.value.trim(), kind.value);
      input.value = "";
      if (asked.email) {
        pending = asked;
        context.go("/console/record");
      } else {
        pending = null;
        const { entity, ...rest } = asked;
        context.go(`/console/record?${new URLSearchParams(entity ? { ref: entity } : rest)}`);
      }
    },
  }, input, kind, h("button", { type: "submit", "data-key": "search-go" }, t("search.go")));
}

/** What the address asks for. */
function asked(query) {
  const kind = query.get("kind") ?? undefined;
  if (query.get("ref")) return { entity: query.get("ref") };
  if (query.get("id")) return { id: Number(query.get("id")), kind };
  if (query.get("code")) return { code: query.get("code"), kind };
  return null;
}

/** What people did to it; a fault is shown in its place, because everything else is there. */
async function acts(subject, context, signal) {
  try {
    return (await context.ask("activity", { subject, limit: 50 }, signal)).entries;
  } catch (fault) {
    if (!(fault instanceof Fault) || fault.kind === "signed-out") throw fault;
    return null;
  }
}

/** What happened and what people did, the newest first. */
function timeline(data) {
  const events = data.last.events.map((event) => ({ at: event.at, who: event.function, what: said(event.said) }));
  const people = (data.acts ?? []).map((act) => ({ at: act.at, who: who(act.by), what: [word("did", act.did), act.because && [" · ", h("q", null, act.because)], act.result && [" · ", said(act.result)]] }));
  const all = [...events, ...people].sort((one, other) => Date.parse(other.at) - Date.parse(one.at));
  return h("section", null, h("h2", null, t("timeline")),
    says(data.last, "incomplete", "p"),
    data.acts === null && h("p", { class: "small" }, t("record.noActs")),
    all.length ? h("ol", { class: "timeline" }, all.map((item) => h("li", null, time(item.at), h("div", null, h("b", null, item.who), " ", item.what)))) : h("p", { class: "empty" }, t("record.noEvents")));
}

export const record = {
  leave() {
    pending = null;
  },
  async load(context, signal) {
    const body = asked(context.query) ?? pending;
    if (!body) return null;
    let found;
    try {
      found = await context.ask("explain", body, signal);
    } finally {
      if (!signal.aborted) pending = null;
    }
    // From here on it is known by its own name.
    history.replaceState(null, "", `/console/record?${new URLSearchParams({ ref: found.entity })}`);
    return { ...found, acts: await acts(found.entity, context, signal) };
  },
  empty: () => h("p", { class: "empty" }, t("record.none")),
  view(data, context) {
    if (!data) return null;
    const { norce, mapping, now } = data;
    const kind = data.entity.split("/")[0];
    const owed = h("section", null, h("h2", null, t("owed")),
      data.owed.length ? h("ul", { class: "cards" }, data.owed.map((line) => card(line, context))) : h("p", { class: "empty" }, t("record.nothingOwed")));
    return [
      h("p", { class: "verdict" }, says(data, "summary")),
      path(data),
      // Why it is not in step is what people come for.
      data.owed.length > 0 && owed,
      facts([
        [t("record"), data.entity],
        [t("inNorce"), norce ? word("active", String(norce.active)) : t("notInNorce")],
        [t("codeNorce"), norce?.code],
        [t("forgotten"), norce?.forgotten && t("yes")],
        [t("inErp"), word("mapping", mapping.state)],
        [t("codeErp"), mapping.code],
        [t("formerCode"), mapping.formerCode],
        [t("fetched"), time(mapping.fetchedAt)],
        [t("gone"), time(mapping.goneAt)],
        [t("reservedUntil"), time(mapping.until)],
        [t("kept"), mapping.kept?.join(", ")],
        [t("related"), norce?.related.length > 0 && h("ul", null, norce.related.map((entity) => h("li", null, h("a", { href: `/console/record?ref=${encodeURIComponent(entity)}` }, entity))))],
      ]),
      h("section", null, h("h2", null, t("now")), h("p", null, says(now, "outcome")),
        now.would.length > 0 && h("ol", null, saysEach(now, "would", "li")),
        h("p", { class: "small" }, t("nothingWritten"))),
      data.owed.length === 0 && owed,
      data.imports.length > 0 && h("section", null, h("h2", null, t("imports")),
        h("ul", null, data.imports.map((batch) => h("li", null, time(batch.recorded), " ", batch.job != null && h("a", { href: `/console/imports?job=${batch.job}` }, t("job", { job: String(batch.job) })))))),
      timeline(data),
      h("div", { class: "buttons" },
        context.may("act") && button("look", t("lookAgain"), () => look(data, context)),
        context.may("act") && mapping.state === "unknown" && button("create", t("create…"), () => create(data, context)),
        button("copy-link", t("copyLink"), (event) => copy(location.href, event.target)),
        button("copy-support", t("copySupport"), (event) => copy(support(data), event.target)),
        context.may("admin") && kind === "customer" && mapping.state !== "forgotten" && button("forget", t("forget…"), () => forget(data, context), { class: "danger" })),
    ];
  },
};

/** How far it has come: from Norce to us, to the ERP, and its code back to Norce. */
function path({ norce, mapping, owed, imports }) {
  const isOwed = (stage) => owed.some((line) => line.stage === stage && !line.dismissed);
  const isBound = mapping.state === "bound";
  const toErp = isOwed("to-erp") ? "failed" : mapping.goneAt ? "failed" : isBound ? "done" : mapping.state === "reserved" ? "waiting" : "none";
  const delivery = mapping.delivery?.state;
  const back = isOwed("code-to-norce") || delivery === "refused" ? "failed" : delivery === "confirmed" ? "done" : isBound || imports.length ? "waiting" : "none";
  const steps = [
    ["norce", norce ? "done" : "none"],
    ["toErp", mapping.state === "forgotten" ? "none" : toErp],
    ["codeBack", back, mapping.delivery?.at],
    ["fieldsBack", isOwed("fields-to-norce") ? "failed" : isBound ? "done" : "none"],
  ];
  return h("ol", { class: "path", "aria-label": t("path") }, steps.map(([step, state, at]) =>
    h("li", { class: state }, h("b", null, t(`path.${step}`)), h("span", null, t(`step.${state}`)), at && h("small", null, time(at)))));
}

/** What somebody else needs who is to help: nothing in it is personal. */
function support(data) {
  const owed = data.owed.map((line) => `owed (${line.stage}, ${line.reason}): ${line.detail} [${line.correlation}]`);
  return [data.entity, data.summary, ...owed, `now: ${data.now.outcome}`, location.href].join("\n");
}

function look(data, context) {
  replay(data, context, { title: t("lookAgain"), text: h("p", null, t("look.text")), label: t("lookAgain") }, {});
}

function create(data, context) {
  replay(data, context, { title: t("create"), text: h("p", null, t("create.text")), label: t("create") }, { cause: "ordered" });
}

function replay(data, context, words, more) {
  confirm({
    ...words,
    go: async (say) => {
      const answer = await context.ask("replay", { entity: data.entity, ...more });
      say(says(answer, "summary"));
      context.follow();
    },
  });
}

/** Says what would be done, and does it when the id has been typed: it cannot be undone. */
async function forget(data, context) {
  const id = data.entity.split("/").at(-1);
  const typed = h("input", { id: "typed", autocomplete: "off", inputmode: "numeric" });
  const would = h("div", { role: "status" }, t("working"));
  let isKnown = false;
  const dialog = confirm({
    title: t("forget.title", { entity: data.entity }), text: [h("p", null, t("forget.text")), would],
    fields: h("label", null, t("forget.type", { id }), typed),
    label: t("forget"),
    danger: true,
    isReady: () => isKnown && typed.value.trim() === id,
    go: async (say) => {
      const answer = await context.ask("forget", { entity: data.entity, confirm: true });
      say(says(answer, "summary"));
      context.reload();
    },
  });
  try {
    const answer = await context.ask("forget", { entity: data.entity });
    would.replaceChildren(h("p", null, says(answer, "summary")), h("ol", null, saysEach(answer, "would", "li")));
    isKnown = true;
    typed.dispatchEvent(new Event("input", { bubbles: true }));
  } catch (fault) {
    would.replaceChildren(h("p", { class: "fault" }, fault.message || t(`fault.${fault.kind ?? "later"}`)));
  }
  return dialog;
}

// The passes of a month, and what a plan says that its pass would do.

import { Fault } from "./api.js";
import { confirm } from "./dialog.js";
import { button, facts, h, said, says, table } from "./dom.js";
import { addressWith, chips, cursorOf, pages, select } from "./list.js";
import { number, t, time, word } from "./text.js";

const MODES = ["delta", "full", "sweep"];
/** So many runs are on a page, and so many lines of a plan. */
const PAGE = 50;

/** A plan that was asked for; one that is being made is none yet. */
async function planned(context, plan, signal) {
  try {
    return { shown: await context.ask("plan", { show: plan, limit: PAGE }, signal) };
  } catch (fault) {
    if (!(fault instanceof Fault) || fault.kind !== "request") throw fault;
    return { waiting: fault.message };
  }
}

export const passes = {
  async load(context, signal) {
    const { ask, query } = context;
    const plan = query.get("plan");
    if (plan) return planned(context, plan, signal);
    return ask("runs", { mode: query.get("mode") ?? undefined, limit: PAGE, cursor: cursorOf(query) }, signal);
  },
  frame(context) {
    const mode = context.query.get("mode");
    return [
      h("p", { class: "lead" }, t("passes.lead")),
      context.query.get("plan") ? h("p", null, h("a", { href: "/console/passes" }, t("passes.all")))
        : [h("div", { class: "filters" }, select(context, "mode", MODES),
          context.may("admin") && [button("plan", t("plan…"), () => start("plan", context)), button("pass", t("pass…"), () => start("pass", context))]),
        chips(mode ? [["mode", mode]] : [], (name, value) => `${t("mode")}: ${word("mode", value)}`, () => context.go(addressWith({ mode: "" })))],
    ];
  },
  view(data, context) {
    if (data.waiting) return waiting(data.waiting, context);
    if (data.shown) return plan(data.shown, context);
    return [
      data.runs.length === 0 ? h("p", { class: "empty" }, t("passes.none"))
        : table(t("passes.month"), [t("mode"), t("scope"), t("started"), t("ended"), t("result")],
          data.runs.map((run) => [word("mode", run.mode), run.scope, time(run.started), time(run.ended) ?? t("running"),
            run.failed ? h("span", { class: "bad" }, said(run.failed)) : said(run.found)])),
      pages(context.query, data),
    ];
  },
};

function waiting(sentence, context) {
  return [h("p", { role: "status" }, t("plan.waiting")), said(sentence, "p"),
    h("div", { class: "buttons" }, button("plan-again", t("lookAgain"), () => context.reload()))];
}

/** What a plan says. No pass does exactly what a plan says: it looks again, at what there is then. */
function plan({ plan: run, counts, lines, report }, context) {
  const numbers = Object.entries(counts).filter(([, count]) => typeof count === "number" && count > 0);
  return [
    h("p", { class: "verdict" }, said(run.found)),
    facts([[t("mode"), word("mode", run.mode)], [t("scope"), run.scope], [t("started"), time(run.started)], ...numbers.map(([name, count]) => [word("count", name), number(count)]),
      ...Object.entries(counts.skipped ?? {}).map(([reason, count]) => [[t("skipped"), " ", said(reason)], number(count)])]),
    lines.length > 0 && table(t("plan.lines", { n: lines.length }), [t("what"), t("filter.kind"), t("inErp"), t("code"), t("inNorce"), t("why")],
      lines.map((line) => [word("line", line.group), word("kind", line.kind), line.record, [line.code, line.formerCode && ` (${t("formerCode")}: ${line.formerCode})`], line.norceId && String(line.norceId), [line.fields, said(line.reason)]])),
    h("p", { class: "small" }, t("plan.report"), " ", h("code", null, report)),
    context.may("admin") && h("section", null,
      h("p", null, t("plan.again")),
      h("div", { class: "buttons" }, button("pass", t("pass.ofMode"), () => start("pass", context, run.mode), { class: "primary" }))),
  ];
}

/** Starts a pass, or its plan, which writes nothing. */
function start(action, context, chosen) {
  const mode = h("select", { id: "mode" }, MODES.map((value) => h("option", { value, selected: value === chosen }, word("mode", value))));
  const kind = h("select", { id: "kind" }, h("option", { value: "" }, t("all")), ["customer", "company"].map((value) => h("option", { value }, word("kind", value))));
  confirm({
    title: t(`${action}.title`), text: h("p", null, t(`${action}.text`)),
    fields: [h("label", null, t("mode"), mode), h("label", null, t("filter.kind"), kind)],
    label: t(action),
    go: async (say) => {
      const body = { mode: mode.value, ...(kind.value && { kind: kind.value }) };
      const answer = await context.ask(action, body);
      say(says(answer, "summary", "p"), action === "plan" && h("ul", null, answer.runs.map((run) => h("li", null, h("a", { href: `/console/passes?plan=${run.run}`, "data-key": "to-plan", onclick: (event) => event.target.closest("dialog").close() }, t("plan.of", { scope: run.scope }))))));
      context.follow();
    },
  });
}

// Which customer or company is which record of the ERP: to a file, and from one.

import { confirm } from "./dialog.js";
import { button, facts, h, said, table } from "./dom.js";
import { number, t } from "./text.js";

const COUNTS = ["bound", "unchanged", "conflicts", "invalid"];

/** What was exported, and what an import would bind; both are forgotten with the screen. */
let exported = null;
let checked = null;

/** Asks again with `next` until everything is done or stopped, and adds the counts up. */
async function inSteps(context, action, body, say, stop) {
  const total = { lines: 0, problems: [], ...Object.fromEntries(COUNTS.map((name) => [name, 0])) };
  let next;
  do {
    const answer = await context.ask(action, { ...body, next });
    for (const name of ["lines", ...COUNTS]) total[name] += answer[name] ?? 0;
    total.problems.push(...(answer.problems ?? []));
    total.into = answer.into;
    ({ next } = answer);
    say(t("linesDone", { n: total.lines + COUNTS.reduce((sum, name) => sum + total[name], 0) }));
  } while (next && !stop?.aborted);
  return { ...total, isStopped: Boolean(next) };
}

async function save(context) {
  exported = await inSteps(context, "export-mappings", {}, context.notify);
  context.notify(t("export.done", { n: exported.lines }));
  context.render();
}

async function check(context, from) {
  checked = null;
  context.notify(t("working"));
  const result = await inSteps(context, "import-mappings", { from, dryRun: true }, context.notify);
  checked = { from, ...result };
  context.notify(t("import.checked"));
  context.render();
}

/** Counts of an import, and the first lines that were not taken. */
function result(counts) {
  return [
    facts(COUNTS.map((name) => [t(`import.${name}`), number(counts[name])])),
    counts.problems.length > 0 && table(t("import.problems"), [t("file"), t("line"), t("why")], counts.problems.map((problem) => [problem.key, String(problem.line), said(problem.reason)])),
  ];
}

function bind(context) {
  const { from, bound } = checked;
  confirm({
    title: t("bind.title", { n: bound }), text: h("p", null, t("bind.text")), label: t("bind", { n: bound }),
    canStop: true,
    go: async (say, stop) => {
      const done = await inSteps(context, "import-mappings", { from }, say, stop);
      checked = null;
      say(h("p", null, done.isStopped && t("import.stopped")), result(done));
      context.render();
    },
  });
}

export const mappings = {
  load: async () => ({}),
  leave() {
    exported = null;
    checked = null;
  },
  view(_, context) {
    const from = h("input", { name: "from", value: checked?.from ?? "mappings/", "data-key": "from", oninput: () => { if (checked) { checked = null; context.render(); } }, required: true, autocomplete: "off", spellcheck: "false" });
    return [
      h("p", { class: "lead" }, t("mappings.lead")),
      !context.may("admin") && h("p", { class: "empty" }, t("mappings.admin")),
      context.may("admin") && h("section", { class: "card" }, h("h2", null, t("exportMappings")), h("p", null, t("export.text")),
        h("div", { class: "buttons" }, button("export", t("exportMappings"), () => context.attempt(save(context)))),
        exported && h("p", { role: "status" }, t("export.done", { n: exported.lines }), " ", t("export.parts"), " ", h("code", null, `${exported.into}part-00001.jsonl …`))),
      context.may("admin") && h("section", { class: "card" }, h("h2", null, t("importMappings")), h("p", null, t("import.text")),
        h("form", { onsubmit: (event) => { event.preventDefault(); context.attempt(check(context, from.value.trim())); } },
          h("label", null, t("import.from"), from),
          h("div", { class: "buttons" }, h("button", { type: "submit", "data-key": "check" }, t("import.check")))),
        checked && [h("h3", null, t("import.would")), result(checked),
          checked.bound > 0 ? h("div", { class: "buttons" }, button("bind", t("bind…", { n: checked.bound }), () => bind(context), { class: "primary" })) : h("p", { class: "empty" }, t("import.nothing"))]),
    ];
  },
};

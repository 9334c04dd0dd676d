// Is everything as it must be? The parts are asked side by side, and shown as they finish.

import { Fault } from "./api.js";
import { confirm, faultText } from "./dialog.js";
import { button, copy, h, said, says, saysEach, table } from "./dom.js";
import { t, word } from "./text.js";

const PARTS = ["norce", "erp", "aws", "events", "schedules"];

export const doctor = {
  // It signs in to Norce, which allows three sign-ins a minute.
  isCostly: true,
  async load({ ask }, signal, show) {
    const parts = {};
    let first = null;
    const one = async (part) => {
      try {
        parts[part] = (await ask("doctor", { part }, signal)).checks;
      } catch (fault) {
        if (!(fault instanceof Fault)) throw fault;
        first ??= fault;
        parts[part] = [{ check: word("part", part), ok: false, detail: faultText(fault), own: true }];
      }
      // Nobody has looked as long as no part has answered.
      if (Object.values(parts).some((checks) => !checks[0]?.own)) show({ ...parts });
    };
    await Promise.all(PARTS.map(one));
    if (PARTS.every((part) => parts[part][0]?.own)) throw first;
    return parts;
  },
  view(parts, context) {
    // In an order of their own, whichever was quicker.
    const checks = PARTS.flatMap((part) => parts[part] ?? []);
    const waiting = PARTS.filter((part) => !parts[part]);
    const faults = checks.filter((check) => !check.ok);
    const rest = checks.filter((check) => check.ok);
    const report = () => checks.map((check) => `${check.ok ? "ok" : "FAULT"}  ${check.check}: ${check.detail}${check.fix ? ` -> ${check.fix}` : ""}`).join("\n");
    const look = faults.length ? ["bad", t("doctor.faults", { n: faults.length })] : waiting.length ? ["", t("doctor.looking")] : ["well", t("doctor.well")];
    return [
      h("p", { class: `headline ${look[0]}`, role: "status" }, look[1]),
      h("ul", { class: "chips" }, PARTS.map((part) => h("li", { class: "chip" }, word("part", part), ": ", parts[part] ? partInWords(parts[part]) : t("working")))),
      h("ul", { class: "cards" }, faults.map((check) => h("li", { class: "card" }, h("h2", null, said(check.check)), says(check, "detail", "p"), check.fix && h("p", null, h("b", null, t("toDo")), " ", says(check, "fix"))))),
      rest.length > 0 && table(t("doctor.rest"), [t("check"), t("seen")], rest.map((check) => [said(check.check), says(check, "detail")])),
      waiting.length === 0 && h("div", { class: "buttons" }, button("copy-report", t("copyReport"), (event) => copy(report(), event.target)),
        context.may("admin") && button("trial", t("trial…"), () => trial(context))),
    ];
  },
};

/** Creates one record in the ERP, and deletes it. */
function trial(context) {
  const kind = h("select", { id: "kind" }, ["customer", "company"].map((value) => h("option", { value }, word("kind", value))));
  const country = h("input", { id: "country", maxlength: "2", pattern: "[A-Za-z]{2}", autocomplete: "off" });
  const application = h("input", { id: "application", inputmode: "numeric", pattern: "[0-9]+", autocomplete: "off" });
  confirm({
    title: t("trial.title"), text: h("p", null, t("trial.text")),
    fields: [h("label", null, t("filter.kind"), kind), h("label", null, t("trial.country"), country), h("label", null, t("trial.application"), application)],
    isReady: () => country.validity.valid && application.validity.valid,
    label: t("trial"),
    go: async (say) => {
      const body = { kind: kind.value, confirm: true, ...(country.value && { country: country.value }), ...(application.value && { application: Number(application.value) }) };
      const answer = await context.ask("trial", body);
      say(says(answer, "summary", "p"), answer.todo?.length > 0 && [h("p", null, t("toDo")), h("ul", null, saysEach(answer, "todo", "li"))]);
    },
  });
}

function partInWords(checks) {
  const faults = checks.filter((check) => !check.ok).length;
  return faults ? t("doctor.faults", { n: faults }) : t("doctor.inOrder");
}

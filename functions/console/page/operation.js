// Passes, imports, dead letters and the doctor.

import { confirm } from "./dialog.js";
import { facts, h, said, table } from "./dom.js";
import { duration, t, time, word } from "./text.js";

const MODES = ["delta", "full", "sweep"];

export const passes = {
  load: ({ ask }, signal) => ask("status", {}, signal),
  view(status, context) {
    return [
      context.may("admin") && h("div", { class: "buttons" },
        h("button", { type: "button", "data-key": "plan", onclick: () => start("plan", context) }, t("plan…")),
        h("button", { type: "button", "data-key": "pass", onclick: () => start("pass", context) }, t("pass…"))),
      status.lastRuns.length === 0 ? h("p", { class: "empty" }, t("passes.none"))
        : table(t("lastRuns"), [t("mode"), t("scope"), t("started"), t("ended"), t("result")],
          status.lastRuns.map((run) => [word("mode", run.mode), run.scope, time(run.started), time(run.ended) ?? t("running"),
            run.failed ? h("span", { class: "bad" }, said(run.failed)) : said(run.found)])),
      h("section", null, h("h2", null, t("caughtUp")),
        facts(status.watermarks.map((mark) => [`${word("walk", mark.walk)}, ${mark.scope}, ${word("kinds", mark.kind)}`, time(mark.at) ?? t("never")]))),
    ];
  },
};

/** Starts a pass, or its plan, which writes nothing. */
function start(action, context) {
  const mode = h("select", { id: "mode" }, MODES.map((value) => h("option", { value }, word("mode", value))));
  const kind = h("select", { id: "kind" }, h("option", { value: "" }, t("all")), ["customer", "company"].map((value) => h("option", { value }, word("kind", value))));
  confirm({
    title: t(`${action}.title`), text: h("p", null, t(`${action}.text`)),
    fields: [h("label", null, t("mode"), mode), h("label", null, t("filter.kind"), kind)],
    label: t(action),
    go: async (say, signal) => {
      const body = { mode: mode.value, ...(kind.value && { kind: kind.value }) };
      const answer = await context.ask(action, body, signal);
      say(said(answer.summary), answer.reports?.length > 0 && h("ul", null, answer.reports.map((report) => h("li", null, report))));
      context.reload();
    },
  });
}

export const imports = {
  load({ ask, query }, signal) {
    const job = query.get("job");
    return ask("jobs", job ? { job: Number(job) } : { limit: 50 }, signal);
  },
  view(data, { query }) {
    return [
      query.get("job") && h("p", null, h("a", { href: "/console/imports" }, t("imports.all"))),
      said(data.summary, "p"),
      data.jobs.length === 0 && h("p", { class: "empty" }, t("imports.none")),
      h("ul", { class: "cards" }, data.jobs.map((job) => h("li", { class: "card" },
        h("div", { class: "line" }, job.job == null ? h("b", null, t("noJob")) : h("a", { href: `/console/imports?job=${job.job}` }, t("job", { job: String(job.job) })),
          h("span", null, `${word("kinds", job.kind)}, ${job.scope}`), h("span", null, t("lines", { n: job.lines })), job.settled && h("span", { class: "chip" }, t("settled"))),
        said(job.norce, "p"),
        h("p", { class: "small" }, t("since"), " ", time(job.since)),
        job.log?.length > 0 && h("section", null, h("h2", null, t("log")), h("ol", { class: "log" }, job.log.map((line) => said(line, "li")))),
        job.waiting?.length > 0 && table(t("unsettled"), [t("id"), t("code")], job.waiting.map((line) => [line.id == null ? t("new") : String(line.id), line.code]))))),
    ];
  },
};

export const dead = {
  load(context, signal) {
    const queue = context.query.get("queue");
    // The bodies are there to be acted upon.
    const body = queue && context.may("act") ? { do: "show", queue, limit: 50 } : {};
    return context.ask("dead-letters", body, signal);
  },
  view(data, context) {
    const messages = data.messages ?? [];
    const total = data.queues.reduce((sum, queue) => sum + queue.deadLetters, 0);
    return [
      total === 0 && h("p", { class: "empty" }, t("dead.none")),
      context.query.get("queue") && h("p", null, h("a", { href: "/console/dead-letters" }, t("dead.all"))),
      table(t("queues"), [t("queue"), t("dead"), t("actions")], data.queues.map((queue) => [queue.queue, String(queue.deadLetters),
        queue.deadLetters > 0 && h("div", { class: "buttons" },
          context.may("act") && h("a", { class: "button", "data-key": `show ${queue.queue}`, href: `/console/dead-letters?queue=${queue.queue}`, "aria-label": t("showOf", { queue: queue.queue }) }, t("show")),
          context.may("admin") && h("button", { type: "button", "data-key": `redrive ${queue.queue}`, "aria-label": t("redriveOf", { queue: queue.queue }), onclick: () => redrive(queue, context) }, t("redrive…")))])),
      h("ul", { class: "cards" }, messages.map((message) => h("li", { class: "card" },
        h("div", { class: "line" }, h("b", null, message.queue), h("span", null, message.id), h("span", null, duration(message.ageSeconds))),
        message.reason ? said(message.reason, "p") : h("p", null, t("dead.noReason")),
        h("pre", { tabindex: "0", role: "group", "aria-label": t("body") }, said(message.body))))),
    ];
  },
};

function redrive(queue, context) {
  confirm({
    title: t("redrive.title", { n: queue.deadLetters }), text: h("p", null, t("redrive.text", { queue: queue.queue })), label: t("redrive"),
    go: async (say, signal) => {
      const answer = await context.ask("dead-letters", { do: "redrive", queue: queue.queue }, signal);
      say(said(answer.summary));
      context.reload();
    },
  });
}

export const doctor = {
  load: ({ ask }, signal) => ask("doctor", {}, signal),
  view(data) {
    const faults = data.checks.filter((check) => !check.ok);
    const rest = data.checks.filter((check) => check.ok);
    const report = () => [data.summary, ...data.checks.map((check) => `${check.ok ? "ok" : "FAULT"}  ${check.check}: ${check.detail}${fix(check) ? ` -> ${fix(check)}` : ""}`)].join("\n");
    return [
      h("p", { class: `headline ${faults.length ? "bad" : "well"}` }, faults.length ? t("doctor.faults", { n: faults.length }) : t("doctor.well")),
      h("ul", { class: "cards" }, faults.map((check) => h("li", { class: "card" }, h("h2", null, said(check.check)), said(check.detail, "p"), fix(check) && h("p", null, h("b", null, t("toDo")), " ", said(fix(check)))))),
      table(t("doctor.rest"), [t("check"), t("seen")], rest.map((check) => [said(check.check), said(check.detail)])),
      h("div", { class: "buttons" }, h("button", { type: "button", "data-key": "copy-report", onclick: async (event) => {
        await navigator.clipboard.writeText(report());
        event.target.textContent = t("copied");
      } }, t("copyReport"))),
    ];
  },
};

/** What to do about a check; the name changes with the operator's next version. */
function fix(check) {
  return check.fix ?? check.cure;
}

// Imports and dead letters.

import { confirm } from "./dialog.js";
import { button, h, said, says, table } from "./dom.js";
import { duration, t, time, word } from "./text.js";

export const imports = {
  load({ ask, query }, signal) {
    const job = query.get("job");
    return ask("jobs", job ? { job: Number(job) } : { limit: 50 }, signal);
  },
  view(data, { query }) {
    return [
      query.get("job") && h("p", null, h("a", { href: "/console/imports" }, t("imports.all"))),
      says(data, "summary", "p"),
      data.jobs.length === 0 && h("p", { class: "empty" }, t("imports.none")),
      h("ul", { class: "cards" }, data.jobs.map((job) => h("li", { class: "card" },
        h("div", { class: "line" }, job.job == null ? h("b", null, t("noJob")) : h("a", { href: `/console/imports?job=${job.job}` }, t("job", { job: String(job.job) })),
          h("span", null, `${word("kinds", job.kind)}, ${job.scope}`), h("span", null, t("lines", { n: job.lines })), job.settled && h("span", { class: "chip" }, t("settled"))),
        says(job, "norce", "p"),
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
          context.may("admin") && button(`redrive ${queue.queue}`, t("redrive…"), () => redrive(queue, context), { "aria-label": t("redriveOf", { queue: queue.queue }) }))])),
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
    go: async (say) => {
      const answer = await context.ask("dead-letters", { do: "redrive", queue: queue.queue });
      say(says(answer, "summary"));
      context.follow();
    },
  });
}

// How the integration is doing, in one look.

import { facts, h, said, table } from "./dom.js";
import { duration, t, time, word } from "./text.js";

/** The headline: what is worst. */
function headline(status, owed, dead) {
  const down = status.breakers.filter((breaker) => breaker.state === "open");
  if (down.length) return ["bad", t("head.down", { remote: down.map((breaker) => breaker.remote).join(", ") })];
  if (dead) return ["bad", t("head.dead", { n: dead })];
  if (owed) return ["some", t("head.owed", { n: owed })];
  return ["well", t("head.well")];
}

function tile(address, label, value, detail) {
  return h("li", null, h(address ? "a" : "div", { class: "tile", href: address }, h("b", null, value), h("span", null, label), detail && h("small", null, detail)));
}

export const overview = {
  load: ({ ask }, signal) => ask("status", {}, signal),
  view(status) {
    const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
    const reasons = Object.entries(status.owed.owed);
    const owed = sum(reasons.map(([, count]) => count));
    const dead = sum(status.queues.map((queue) => queue.deadLetters));
    const waiting = sum(status.queues.map((queue) => queue.waiting));
    const [look, text] = headline(status, owed, dead);
    const number = (value) => value.toLocaleString(document.documentElement.lang);
    return [
      h("p", { class: `headline ${look}` }, text),
      h("ul", { class: "tiles" },
        tile("/console/owed", t("owed"), number(owed), owed ? t("oldest", { time: duration(status.owed.oldestSeconds) }) : null),
        tile(null, t("waiting"), number(waiting)),
        tile("/console/dead-letters", t("dead"), number(dead)),
        tile("/console/imports", t("imports"), number(status.jobs.open), status.jobs.open ? t("lines", { n: status.jobs.lines }) : null)),
      said(status.summary, "p"),
      reasons.length > 0 && h("section", null, h("h2", null, t("byReason")),
        h("ul", null, reasons.sort((one, other) => other[1] - one[1]).map(([reason, count]) =>
          h("li", null, h("a", { href: `/console/owed?reason=${reason}` }, `${word("reason", reason)}: ${number(count)}`))))),
      status.breakers.length > 0 && table(t("remotes"), [t("remote"), t("state"), t("since"), t("nextProbe")],
        status.breakers.map((breaker) => [breaker.remote, word("breaker", breaker.state), time(breaker.since), time(breaker.nextProbe)])),
      table(t("queues"), [t("queue"), t("waiting"), t("dead")],
        status.queues.map((queue) => [queue.queue, number(queue.waiting), number(queue.deadLetters)])),
      h("section", null, h("h2", null, t("caughtUp")),
        facts(status.watermarks.map((mark) => [`${word("walk", mark.walk)}, ${mark.scope}, ${word("kinds", mark.kind)}`, time(mark.at) ?? t("never")]))),
    ];
  },
};

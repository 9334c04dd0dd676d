// How the integration is doing, in one look, and what to do.

import { Fault } from "./api.js";
import { chart } from "./chart.js";
import { facts, h, said, says, table } from "./dom.js";
import { duration, number, t, time, word } from "./text.js";

/** A week of history; the chart of a day is its end. */
const HOURS = 168;
/** So many groups are what to do first. */
const GROUPS = 3;
/** What the schedule tries again until it succeeds: nobody has to do anything about it yet. */
const BY_ITSELF = ["remote-fault", "timed-out"];

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);

/** Remotes in words: `erp/client` and `erp/app-1` are the ERP of two scopes. */
function names(breakers) {
  return [...new Set(breakers.map((breaker) => word("remote", breaker.remote.split("/")[0])))].join(t("and"));
}

/** What is worst. */
function headline(status, dead) {
  const down = status.breakers.filter((breaker) => breaker.state === "open");
  if (down.length) return ["bad", t("head.down", { remote: names(down) })];
  const reasons = Object.entries(status.owed.owed);
  const of = (isByItself) => sum(reasons.filter(([reason]) => BY_ITSELF.includes(reason) === isByItself).map(([, count]) => count));
  const needed = of(false) + dead;
  if (needed) return ["some", t("head.needed", { n: needed })];
  const tried = of(true);
  if (tried) return ["some", t("head.tried", { n: tried })];
  return ["well", t("head.well")];
}

function tile(address, label, value, detail, look) {
  return h("li", null, h(address ? "a" : "div", { class: `tile ${look ?? ""}`, href: address }, h("span", null, label), h("b", { class: /\d/.test(value) ? null : "word" }, value), detail && h("small", null, detail)));
}

function tiles(status, owed, dead) {
  const waiting = sum(status.queues.map((queue) => queue.waiting));
  const off = status.breakers.filter((breaker) => breaker.state !== "closed");
  const [run] = status.lastRuns;
  const result = run && (run.failed ? ["bad", t("run.failed")] : run.ended ? ["", t("run.done")] : ["", t("running")]);
  return h("ul", { class: "tiles" },
    tile("/console/owed", t("owed"), number(owed), owed ? t("oldest", { time: duration(status.owed.oldestSeconds) }) : null),
    tile(null, t("waiting"), number(waiting)),
    tile("/console/dead-letters", t("dead"), number(dead), null, dead ? "bad" : ""),
    tile("/console/imports", t("imports"), number(status.jobs.open), status.jobs.open ? t("lines", { n: status.jobs.lines }) : null),
    tile(null, t("remotes"), off.length ? word("breaker", off[0].state) : t("breaker.closed"), off.length ? names(off) : null, off.length ? "bad" : ""),
    tile("/console/passes", t("lastPass"), result ? result[1] : t("never"), run && [word("mode", run.mode), " · ", time(run.ended ?? run.started)], result?.[0]));
}

/** The largest groups, each with what to do about it. */
function toDo(groups) {
  return groups?.length > 0 && h("section", null, h("h2", null, t("whatToDo")),
    h("ol", { class: "cards" }, groups.map((group) => h("li", { class: "card group" },
      h("b", { class: "count" }, number(group.count)),
      h("div", null,
        h("p", null, h("b", null, word("reason", group.reason)), " · ", word("stage", group.stage)),
        said(group.words, "p"),
        says(group, "fix", "p"),
        h("p", null, h("a", { href: group.group ? `/console/owed?group=${group.group}` : `/console/owed?reason=${group.reason}&stage=${group.stage}` }, t("showThem", { n: group.count }))))))));
}

function history(samples, asOf) {
  const now = Date.parse(asOf);
  const first = samples && Date.parse(samples[0]?.at);
  return h("section", null, h("h2", null, t("history")),
    !samples ? h("p", { class: "empty" }, t("history.fault"))
      : !samples.length ? h("p", { class: "empty" }, t("history.none"))
        : [now - first < (HOURS - 1) * 3_600_000 && h("p", { class: "small" }, t("history.since"), " ", time(samples[0].at)),
          h("div", { class: "charts" }, chart("day", samples, now, 24, 1), chart("week", samples, now, HOURS, 24))]);
}

/** What the overview is without, too. */
const optional = (asked) => asked.catch((fault) => {
  if (!(fault instanceof Fault) || fault.kind === "signed-out") throw fault;
  return {};
});

export const overview = {
  async load({ ask, count }, signal) {
    const [status, { groups }, { samples }] = await Promise.all([
      ask("status", {}, signal),
      optional(ask("owed", { groups: true, limit: GROUPS }, signal)),
      optional(ask("history", { hours: HOURS }, signal)),
    ]);
    count(status);
    return { status, groups, samples };
  },
  view({ status, groups, samples }) {
    const owed = sum(Object.values(status.owed.owed));
    const dead = sum(status.queues.map((queue) => queue.deadLetters));
    const [look, text] = headline(status, dead);
    return [
      h("p", { class: `headline ${look}` }, text),
      tiles(status, owed, dead),
      toDo(groups),
      history(samples, status.asOf),
      h("div", { class: "columns" },
        h("section", null, h("h2", null, t("caughtUp")), h("p", { class: "small" }, t("caughtUp.text")),
          facts(status.watermarks.map((mark) => [`${word("walk", mark.walk)} · ${word("kinds", mark.kind)} · ${mark.scope}`, time(mark.at) ?? t("never")]))),
        h("section", null, h("h2", null, t("operation")),
          status.breakers.length > 0 && table(t("remotes"), [t("remote"), t("state"), t("since"), t("nextProbe")],
            status.breakers.map((breaker) => [breaker.remote, word("breaker", breaker.state), time(breaker.since), time(breaker.nextProbe)])),
          table(t("queues"), [t("queue"), t("waiting"), t("dead")],
            status.queues.map((queue) => [queue.queue, number(queue.waiting), number(queue.deadLetters)])))),
    ];
  },
};

// How much was owed over time: a drawing, and the numbers behind it.

import { draw, h, table } from "./dom.js";
import { number, t, time } from "./text.js";

const HOUR = 3_600_000;
/** The drawing's own units; it is as wide as there is room. */
const [WIDTH, HEIGHT] = [600, 120];
/** It is counted every quarter of an hour; after a longer time without a count the line begins again. */
const GAP = HOUR;

/** The last hours of the samples, which are in the order of time. `step` is how many hours a line of the table has. */
export function chart(key, samples, now, hours, step) {
  const from = now - hours * HOUR;
  const points = samples.map(({ at, owed }) => [Date.parse(at), owed]).filter(([at]) => at >= from);
  if (!points.length) return null;
  const most = Math.max(...points.map(([, owed]) => owed));
  const x = (at) => (((at - from) / (now - from)) * WIDTH).toFixed(1);
  const y = (owed) => (HEIGHT - 2 - (owed / Math.max(most, 1)) * (HEIGHT - 8)).toFixed(1);
  let before = -Infinity;
  const line = points.map(([at, owed]) => {
    const place = `${at - before > GAP ? "M" : "L"}${x(at)} ${y(owed)}`;
    before = at;
    return place;
  });
  const summary = t("chart.summary", { most, last: points.at(-1)[1] });
  const rows = new Map();
  for (const [at, owed] of points) {
    const slot = Math.floor((at - from) / (step * HOUR));
    rows.set(slot, Math.max(rows.get(slot) ?? 0, owed));
  }
  return h("figure", null,
    h("figcaption", null, h("b", null, t(`chart.${key}`)), " ", h("span", { class: "small" }, summary)),
    h("div", { class: "plot" },
      draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${t(`chart.${key}`)}. ${summary}` },
        draw("path", { class: "base", d: `M0 ${HEIGHT - 1}H${WIDTH}` }),
        draw("path", { class: "line", d: line.length > 1 ? line.join("") : `${line[0]}h1` }))),
    h("p", { class: "axis small" }, time(new Date(from).toISOString()), time(new Date(now).toISOString())),
    h("details", { "data-key": `table-${key}` }, h("summary", null, t("chart.table")),
      table(t(`chart.${key}`), [t("from"), t("chart.most")], [...rows].map(([slot, owed]) => [time(new Date(from + slot * step * HOUR).toISOString()), number(owed)]))));
}

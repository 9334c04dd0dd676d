// What is done about owed records: try again, set aside, take back. It is done to the records that were chosen, or to all that
// a filter leaves; then the server refuses when these have become more.

import { confirm, faultText } from "./dialog.js";
import { button, h } from "./dom.js";
import { t } from "./text.js";

/** More are asked about first. */
const MANY = 20;
/** So many are named in a question. */
const NAMED = 5;

/** Some records. */
export const ofLines = (lines) => ({ lines, count: lines.length, samples: lines.map((line) => line.subject) });

/** All records that a filter of an answer leaves. `inWords` is the filter. */
export const ofFilter = (filter, { asOf }, count, samples, inWords) => ({ filter, asOf, count, samples, inWords });

/** The requests that it takes; of a filter, the next one is known from the answer. */
async function* requests(target) {
  if (target.lines) {
    for (const [stage, lines] of Map.groupBy(target.lines, (line) => line.stage)) {
      yield { stage, subjects: lines.map((line) => line.subject) };
    }
    return;
  }
  const body = { ...target.filter, asOf: target.asOf, expected: target.count };
  let answer = yield body;
  while (answer.cursor) answer = yield { ...body, cursor: answer.cursor };
}

/** Does it, step by step, until it is done or stopped. A step that has begun is not broken off: its answer says what was done. */
async function carry(what, target, context, say, stop) {
  const body = { do: what.verb, ...what.body?.() };
  const steps = requests(target);
  let done = 0;
  let left = false;
  try {
    for (let step = await steps.next(); !step.done;) {
      if (stop?.aborted) {
        left = true;
        break;
      }
      const answer = await context.ask("owed", { ...body, ...step.value });
      done += answer[what.member];
      say(t("progress", { done, n: target.count }));
      step = await steps.next(answer);
    }
  } catch (fault) {
    fault.before = done > 0 && t(`${what.name}.done`, { n: done });
    throw fault;
  }
  what.then?.();
  const rest = target.count - done;
  const result = [t(`${what.name}.done`, { n: done }), rest > 0 && ` ${t(left ? "stopped" : "notDone", { n: rest })}`];
  say(result);
  context.notify(result);
  context.follow();
}

function ask(what, target, context, more = {}) {
  const { count, samples } = target;
  confirm({
    title: t(`${what.name}.title`, { n: count }),
    text: [h("p", null, t(`${what.name}.text`)),
      target.inWords && h("p", null, h("b", null, target.inWords)),
      h("ul", null, samples.slice(0, NAMED).map((subject) => h("li", null, subject)), count > NAMED && h("li", null, t("andMore", { n: count - Math.min(samples.length, NAMED) })))],
    label: t(what.name),
    go: (say, stop) => carry(what, target, context, say, stop),
    canStop: true,
    again: () => context.reload(),
    ...more,
  });
}

async function atOnce(what, target, context) {
  context.notify(t("working"));
  try {
    await carry(what, target, context, context.notify);
  } catch (fault) {
    context.notify(h("p", { class: "bad" }, fault.before, fault.before && " ", faultText(fault)), button("list-again", t("listAgain"), () => context.reload()));
  }
}

/** A few at once; of many it is asked first. `then` is called when it is done. */
export function retry(target, context, then) {
  const what = { name: "retry", verb: "retry", member: "retried", then };
  if (target.count > MANY) ask(what, target, context);
  else atOnce(what, target, context);
}

export function setAside(target, context, then) {
  const reason = h("textarea", { id: "because", rows: "3", required: true, maxlength: "500" });
  const what = { name: "setAside", verb: "dismiss", member: "dismissed", body: () => ({ because: reason.value.trim() }), then };
  ask(what, target, context, { fields: h("label", null, t("because"), reason), isReady: () => reason.value.trim() !== "" });
}

export function takeBack(target, context, then) {
  const what = { name: "takeBack", verb: "restore", member: "restored", then };
  if (target.count > MANY) ask(what, target, context);
  else atOnce(what, target, context);
}

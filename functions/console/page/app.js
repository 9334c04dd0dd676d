// The shell, and what every screen has in common: its address, its data and their age, and what is shown when there are none.

import { activity } from "./activity.js";
import { ask, Fault, signOut } from "./api.js";
import { faultText } from "./dialog.js";
import { doctor } from "./doctor.js";
import { button, flat, h, replace } from "./dom.js";
import { mappings } from "./mappings.js";
import { dead, imports } from "./operation.js";
import { overview } from "./overview.js";
import { owed } from "./owed.js";
import { passes } from "./passes.js";
import { record, search } from "./record.js";
import { clock, keep, kept, number, setLanguage, t } from "./text.js";

/** By the last part of their addresses. */
const SCREENS = { overview, owed, record, passes, imports, "dead-letters": dead, doctor, activity, mappings };
/** Those in the navigation; a record is found. */
const LINKS = ["overview", "owed", "passes", "imports", "dead-letters", "doctor", "activity", "mappings"];
const ROLES = ["view", "act", "admin"];

const REFRESH_EVERY = 30_000;
/** A page that was forgotten in a tab asks no more. */
const REFRESH_FOR = 30 * 60_000;
/** After something was done: about when a record has been looked at, and when one that had to wait has. */
const LOOK_AFTER = [3_000, 10_000, 30_000];

const person = { role: "view" };
/** What is shown: `of` is the address that the data are of. */
const state = { data: null, of: null, at: null, fault: null, isLoading: false };
let name = "overview";
let loading = new AbortController();
let refreshing = null;
let looks = [];

const main = h("main", { id: "main", tabindex: "-1" });
const bar = h("div", { class: "bar" });
const header = h("header");
/** What was done lately, at the foot of the window. */
const notice = h("div", { role: "status", class: "toast" });
/** The counts beside the links of the navigation. */
const badges = { owed: h("span", { class: "badge" }), "dead-letters": h("span", { class: "badge" }) };
let countedAt = 0;

/** What a screen works with. */
const context = {
  get role() { return person.role; },
  /** Whether the person's role is at least this one. The server decides; this hides what it would refuse. */
  may: (role) => ROLES.indexOf(person.role) >= ROLES.indexOf(role),
  get query() { return new URLSearchParams(location.search); },
  ask: (action, body, signal) => ask(action, body, signal),
  /** Goes to an address of the page. */
  go,
  /** Reads the data again. */
  reload: () => load(),
  /** Shows the same data again. */
  render,
  /** Says something that stays until the person goes on. */
  notify,
  /** Says why, where something that takes several requests fails. */
  attempt: (work) => work.catch((fault) => notify(h("p", { class: "bad" }, faultText(fault)))),
  /** Reads the data again, now and when what was done has had its time. */
  follow,
  count,
};

function notify(...children) {
  notice.replaceChildren(...flat([h("div", null, children), button("notice", t("close"), () => notice.replaceChildren())]));
}

/** Goes to an address; with `replaced`, in place of the one before. */
function go(address, replaced = false) {
  history[replaced ? "replaceState" : "pushState"](null, "", address);
  open();
}

/** Follows a link within the page, unless a new tab or window is asked for. */
document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || anchor.target || event.defaultPrevented) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (anchor.origin !== location.origin || !(anchor.pathname.split("/")[2] in SCREENS)) return;
  event.preventDefault();
  go(anchor.href);
  scrollTo(0, 0);
  main.focus();
});

const here = () => location.pathname + location.search;

async function open() {
  const before = name;
  const wanted = location.pathname.split("/")[2];
  name = wanted in SCREENS ? wanted : "overview";
  if (before !== name) {
    SCREENS[before].leave?.();
    // What was typed there is not meant for another screen.
    for (const field of main.querySelectorAll("input, select, textarea")) field.initial = field.value;
  }
  looks.forEach(clearTimeout);
  // Data of another address are not shown under this one.
  if (here() !== state.of) {
    Object.assign(state, { data: null, of: null, at: null });
    notice.replaceChildren();
  }
  state.fault = null;
  shell();
  await load();
}

/** Reads the data of the screen. What was there stays until it is replaced, and after a fault with its age. */
async function load() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const screen = SCREENS[name];
  const show = (data) => !signal.aborted && Object.assign(state, { data, of: here(), at: new Date(), fault: null });
  state.isLoading = true;
  render();
  try {
    if (!person.name) {
      Object.assign(person, await ask("session", {}, signal));
      shell();
      render();
    }
    // A screen may show what it has so far.
    const data = await screen.load(context, signal, (part) => show(part) && render());
    show(data);
  } catch (fault) {
    if (signal.aborted) return;
    if (!(fault instanceof Fault)) {
      state.isLoading = false;
      throw fault;
    }
    state.fault = fault;
    // Another person may sign in.
    if (fault.kind === "signed-out") person.name = null;
    // Another question needs another answer.
    if (fault.kind === "request") state.data = null;
  }
  if (signal.aborted) return;
  state.isLoading = false;
  render();
  if (!state.fault && Date.now() - countedAt > REFRESH_EVERY) {
    // Without it the navigation has no numbers, and nothing else is amiss.
    ask("status", {}, signal).then(count, () => {});
  }
}

/** Shows the numbers of a status in the navigation. */
function count(status) {
  countedAt = Date.now();
  const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
  const show = (badge, total) => { badge.textContent = total ? number(total) : ""; };
  show(badges.owed, sum(Object.values(status.owed.owed)));
  show(badges["dead-letters"], sum(status.queues.map((queue) => queue.deadLetters)));
}

function follow() {
  countedAt = 0;
  looks.forEach(clearTimeout);
  load();
  looks = LOOK_AFTER.map((after) => setTimeout(() => isFree() && load(), after));
}

/** Whether new data are in nobody's way: the tab is looked at, no answer is under way, and nothing is being copied or decided. */
function isFree() {
  return !document.hidden && !state.isLoading && !document.querySelector("dialog") && getSelection().isCollapsed;
}

function render() {
  const screen = SCREENS[name];
  document.title = `${t(`screen.${name}`)} · ${person.stack ?? t("console")}`;
  replace(bar,
    state.at && h("span", { class: state.fault ? "stale" : null }, t("asOf", { time: clock(state.at) })),
    button("refresh", t("refresh"), () => state.isLoading || load()),
    h("label", null,
      h("input", { type: "checkbox", "data-key": "every", checked: refreshing !== null, onchange: (event) => every(event.target.checked) }),
      t("every30")));
  const isEmpty = state.data === null;
  const { scrollX, scrollY } = window;
  replace(main,
    h("div", { class: "head" }, h("h1", null, t(`screen.${name}`)), bar),
    fault(),
    screen.frame?.(context),
    isEmpty && state.isLoading && h("div", { class: "skeleton", role: "status" }, t("loading")),
    isEmpty ? (!state.isLoading && !state.fault && screen.empty?.()) : screen.view(state.data, context));
  // The browser may have lost the place with the element that it was measured by.
  scrollTo(scrollX, scrollY);
  main.setAttribute("aria-busy", String(state.isLoading));
}

/** What went wrong, and the way on. */
function fault() {
  if (!state.fault) return null;
  const { kind } = state.fault;
  return h("div", { role: "alert", class: "fault" },
    h("p", null, faultText(state.fault)),
    state.data !== null && h("p", null, t("old")),
    h("p", { class: "buttons" },
      kind === "signed-out" && h("a", { class: "button", href: `/console/sign-in?to=${encodeURIComponent(here())}`, target: "_blank", rel: "noopener" }, t("signInTab")),
      kind === "set-up" && h("a", { href: "/console/doctor" }, t("toDoctor")),
      ["signed-out", "later", "timeout", "offline"].includes(kind) && button("again", t("tryLoad"), load)));
}

function every(isOn) {
  clearInterval(refreshing?.timer);
  refreshing = null;
  if (!isOn) return;
  const until = Date.now() + REFRESH_FOR;
  const timer = setInterval(() => {
    if (Date.now() > until) {
      every(false);
      render();
    } else if (isFree() && !SCREENS[name].isCostly) {
      load();
    }
  }, REFRESH_EVERY);
  refreshing = { timer };
}

function choice(label, kind, values, current, choose) {
  return h("label", null, h("span", { class: "hidden" }, label),
    h("select", { "data-key": kind, onchange: (event) => choose(event.target.value) },
      values.map(([value, text, lang]) => h("option", { value, selected: value === current, lang }, text))));
}

function theme(value) {
  if (value === "light" || value === "dark") document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
}

function shell() {
  replace(header,
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, t("skip")),
    h("div", { class: "top" },
      h("strong", null, person.stack ?? t("console")),
      search(context),
      h("div", { class: "choices" },
        choice(t("language"), "language", [["en", "English", "en"], ["sv", "Svenska", "sv"]], document.documentElement.lang, (value) => {
          keep("language", setLanguage(value));
          // It is in the other language.
          notice.replaceChildren();
          shell();
          render();
          // What the operator says comes in the other language as well.
          load();
        }),
        choice(t("theme"), "theme", ["auto", "light", "dark"].map((value) => [value, t(`theme.${value}`)]), kept("theme") ?? "auto", (value) => {
          keep("theme", value);
          theme(value);
        }),
        person.name && h("span", { class: "person" }, person.name, " · ", t(`role.${person.role}`)),
        button("sign-out", t("signOut"), leave))),
    h("nav", { "aria-label": t("console") },
      LINKS.map((screen) => h("a", { href: `/console/${screen}`, "aria-current": screen === name ? "page" : null, "data-key": screen }, t(`screen.${screen}`), badges[screen]))));
}

async function leave() {
  try {
    await signOut();
    location.assign("/console/signed-out");
  } catch (fault) {
    state.fault = fault;
    render();
  }
}

/** "/" leads to the search, as in many such pages, unless somebody types. */
document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "checkbox";
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || document.querySelector("dialog")) return;
  event.preventDefault();
  header.querySelector("input[type=search]")?.focus();
});

addEventListener("popstate", open);

setLanguage(kept("language"));
theme(kept("theme"));
document.body.append(header, main, notice);
await open();

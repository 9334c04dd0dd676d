// The shell, and what every screen has in common: its address, its data and their age, and what is shown when there are none.

import { ask, Fault, signOut } from "./api.js";
import { faultText } from "./dialog.js";
import { flat, h, replace } from "./dom.js";
import { dead, doctor, imports, passes } from "./operation.js";
import { overview } from "./overview.js";
import { owed } from "./owed.js";
import { record, search } from "./record.js";
import { clock, keep, kept, setLanguage, t } from "./text.js";

/** By the last part of their addresses. */
const SCREENS = { overview, owed, record, passes, imports, "dead-letters": dead, doctor };
/** Those in the navigation; a record is found. */
const LINKS = ["overview", "owed", "passes", "imports", "dead-letters", "doctor"];

const REFRESH_EVERY = 30_000;
/** A page that was forgotten in a tab asks no more. */
const REFRESH_FOR = 30 * 60_000;

const person = { role: "view" };
/** What is shown: `of` is the address that the data are of. */
const state = { data: null, of: null, at: null, fault: null, isLoading: false };
let name = "overview";
let loading = new AbortController();
let refreshing = null;

const main = h("main", { id: "main", tabindex: "-1" });
const bar = h("div", { class: "bar" });
const header = h("header");

/** What a screen works with. */
const context = {
  get role() { return person.role; },
  /** Whether the person's role is at least this one. The server decides; this hides what it would refuse. */
  may: (role) => ["view", "act", "admin"].indexOf(person.role) >= ["view", "act", "admin"].indexOf(role),
  get query() { return new URLSearchParams(location.search); },
  ask: (action, body, signal) => ask(action, body, signal),
  /** Goes to an address of the page. */
  go,
  /** Reads the data again. */
  reload: () => load(),
  /** Shows the same data again. */
  render,
};

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
  main.focus();
});

const here = () => location.pathname + location.search;

async function open() {
  const wanted = location.pathname.split("/")[2];
  name = wanted in SCREENS ? wanted : "overview";
  // Data of another address are not shown under this one.
  if (here() !== state.of) Object.assign(state, { data: null, of: null, at: null });
  state.fault = null;
  shell();
  await load();
}

/** Reads the data of the screen. What was there stays until it is replaced, and after a fault with its age. */
async function load() {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  state.isLoading = true;
  render();
  try {
    if (!person.name) {
      Object.assign(person, await ask("session", {}, signal));
      shell();
      render();
    }
    const data = await SCREENS[name].load(context, signal);
    Object.assign(state, { data, of: here(), at: new Date(), fault: null });
  } catch (fault) {
    if (signal.aborted) return;
    if (!(fault instanceof Fault)) throw fault;
    state.fault = fault;
    // Another question needs another answer.
    if (fault.kind === "request") state.data = null;
  }
  state.isLoading = false;
  render();
}

function render() {
  const screen = SCREENS[name];
  document.title = `${t(`screen.${name}`)} · ${person.stack ?? t("console")}`;
  replace(bar,
    state.at && h("span", { class: state.fault ? "stale" : null }, t("asOf", { time: clock(state.at) })),
    h("button", { type: "button", "data-key": "refresh", onclick: () => state.isLoading || load() }, t("refresh")),
    h("label", null,
      h("input", { type: "checkbox", "data-key": "every", checked: refreshing !== null, onchange: (event) => every(event.target.checked) }),
      t("every30")));
  const isEmpty = state.data === null;
  replace(main,
    h("h1", null, t(`screen.${name}`)),
    bar,
    fault(),
    screen.frame?.(context),
    isEmpty && state.isLoading && h("div", { class: "skeleton", role: "status" }, t("loading")),
    isEmpty ? (!state.isLoading && screen.empty?.()) : screen.view(state.data, context));
  main.setAttribute("aria-busy", String(state.isLoading));
}

/** What went wrong, and the way on. */
function fault() {
  if (!state.fault) return null;
  const { kind } = state.fault;
  return h("div", { role: "alert", class: "fault" },
    h("p", null, faultText(state.fault), state.data !== null && ` ${t("old")}`),
    h("p", null,
      kind === "signed-out" && h("a", { class: "button", href: `/console/sign-in?to=${encodeURIComponent(here())}`, target: "_blank", rel: "noopener" }, t("signInTab")),
      kind === "set-up" && h("a", { href: "/console/doctor" }, t("toDoctor")),
      ["signed-out", "later", "timeout", "offline"].includes(kind) &&
        h("button", { type: "button", "data-key": "again", onclick: load }, t("tryLoad"))));
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
    } else if (!document.hidden && !state.isLoading && !document.querySelector("dialog")) {
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
  const current = (screen) => (screen === name ? "page" : null);
  replace(header,
    h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, t("skip")),
    h("div", { class: "top" },
      h("strong", null, person.stack ?? t("console")),
      search(context),
      h("div", { class: "choices" },
        choice(t("language"), "language", [["en", "English", "en"], ["sv", "Svenska", "sv"]], document.documentElement.lang, (value) => {
          keep("language", setLanguage(value));
          shell();
          render();
        }),
        choice(t("theme"), "theme", ["auto", "light", "dark"].map((value) => [value, t(`theme.${value}`)]), kept("theme") ?? "auto", (value) => {
          keep("theme", value);
          theme(value);
        }),
        person.name && h("span", { class: "person" }, person.name, " · ", t(`role.${person.role}`)),
        h("button", { type: "button", "data-key": "sign-out", onclick: leave }, t("signOut")))),
    h("nav", { "aria-label": t("console") },
      LINKS.map((screen) => h("a", { href: `/console/${screen}`, "aria-current": current(screen), "data-key": screen }, t(`screen.${screen}`)))));
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
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || document.querySelector("dialog")) return;
  event.preventDefault();
  header.querySelector("input[type=search]")?.focus();
});

addEventListener("popstate", open);

setLanguage(kept("language"));
theme(kept("theme"));
document.body.append(...flat([header, main]));
await open();

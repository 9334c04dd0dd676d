// Elements without markup: every text becomes a text node, so that nothing that a remote says is ever read as HTML.

import { t } from "./text.js";

/** Makes an element. An attribute `onX` is a listener; `false`, `null` and `undefined` leave an attribute or a child out. */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in IS_STATE) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  // What it is before anybody types.
  if (tag === "input" || tag === "select" || tag === "textarea") element.initial = element.value;
  return element;
}

/** What an attribute says only at the beginning. */
const IS_STATE = { checked: 1, value: 1, disabled: 1, indeterminate: 1 };

/** A button that does not send a form. `key` is its `data-key`. */
export function button(key, label, onclick, attributes) {
  return h("button", { type: "button", "data-key": key, onclick, ...attributes }, label);
}

/** An element of a drawing. */
export function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The children that there are. */
export function flat(children) {
  return children.flat(9).filter((child) => child !== false && child != null && child !== "");
}

/**
 * Replaces what is in an element. The element with the same `data-key` gets the focus; what was typed or chosen and not sent yet
 * stays, and what was unfolded stays so.
 */
export function replace(parent, ...children) {
  const unfolded = [...parent.querySelectorAll("details[open]")].map((details) => details.dataset.key);
  const before = parent.contains(document.activeElement) ? document.activeElement : null;
  const isText = before?.matches("input:not([type=checkbox]), textarea");
  const [start, end] = isText ? [before.selectionStart, before.selectionEnd] : [];
  const typed = [...parent.querySelectorAll("input:not([type=checkbox])[data-key], select[data-key], textarea[data-key]")].filter((field) => field.value !== field.initial);
  parent.replaceChildren(...flat(children));
  for (const { dataset, value } of typed) {
    const field = find(dataset.key, parent);
    if (field) field.value = value;
  }
  for (const key of unfolded) find(key, parent)?.setAttribute("open", "");
  const after = before && find(before.dataset.key, parent);
  // The focused element is gone: keep the focus on the page, so that keyboard users do not start again at its top.
  if (before && !after) parent.closest("[tabindex]")?.focus({ preventScroll: true });
  if (!after) return;
  after.focus({ preventScroll: true });
  if (isText) after.setSelectionRange?.(start, end);
}

/** The element with this `data-key`. */
export function find(key, parent = document) {
  return key ? parent.querySelector(`[data-key="${CSS.escape(key)}"]`) : null;
}

/** A table that is a list of cards where there is no room for it. */
export function table(caption, columns, rows) {
  const row = (cells) =>
    h("tr", null, cells.map((cell, at) => h("td", { "data-label": columns[at] || false }, cell)));
  return h("div", { class: "table" },
    h("table", null,
      h("caption", null, caption),
      h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", null, rows.map(row))));
}

/** Names and values; a pair without a value is left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => flat([value]).length);
  return h("dl", null, known.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/** The words of a remote or of the API: in English, whatever the language of the page. */
export function said(text, tag = "span", lang = "en") {
  return text ? h(tag, { lang, class: "said" }, text) : null;
}

/** What the operator says in a member of its answer. What has a code beside it is in the page's language, except for the words of a remote. */
export function says(answer, name, tag) {
  const code = answer[`${name}Said`]?.code ?? "words";
  return said(answer[name], tag, code === "words" ? "en" : document.documentElement.lang);
}

/** The same of a member that is a list. */
export function saysEach(answer, name, tag) {
  return (answer[name] ?? []).map((text, at) => says({ text, textSaid: answer[`${name}Said`]?.[at] }, "text", tag));
}

/** Copies a text, and says so on the button. */
export async function copy(text, pressed) {
  await navigator.clipboard.writeText(text);
  const before = pressed.textContent;
  pressed.textContent = t("copied");
  setTimeout(() => { pressed.textContent = before; }, 2000);
}

// Lists: filters and pages that are all in the address, and files for spreadsheets.

import { button, h } from "./dom.js";
import { t, word } from "./text.js";

/** This screen's address with changes to its query; whatever changes, the list begins at its first page. */
export function addressWith(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries({ cursor: "", ...changes })) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  return `${location.pathname}${query.size ? `?${query}` : ""}`;
}

/** The named filters of the address. */
export function filtersOf(query, names) {
  return Object.fromEntries(names.map((name) => [name, query.get(name)]).filter(([, value]) => value));
}

/** Where the page of the address begins; nothing: at the beginning, also where somebody has altered the address. */
export function cursorOf(query) {
  try {
    return JSON.parse(query.get("cursor")) ?? undefined;
  } catch {
    return undefined;
  }
}

/** The ways to the first and to the next page. */
export function pages(query, data) {
  const link = (key, label, cursor) => h("a", { class: "button", "data-key": key, href: addressWith({ cursor }) }, label);
  const links = [query.get("cursor") && link("first", t("firstPage"), ""), data.cursor && link("next", t("nextPage"), JSON.stringify(data.cursor))];
  return links.some(Boolean) && h("div", { class: "buttons" }, links);
}

/** The filters that are set, each with the way to take it away. */
export function chips(filters, inWords, drop) {
  return filters.length > 0 && h("p", { class: "chips" }, filters.map(([name, value]) =>
    button(`chip-${name}`, [inWords(name, value), " ", h("span", { "aria-hidden": "true" }, "×"), h("span", { class: "hidden" }, t("remove"))], () => drop(name), { class: "chip" })));
}

/** A filter with a list of values. */
export function select(context, name, values, kind = name) {
  const current = context.query.get(name);
  return h("label", null, t(`filter.${name}`),
    h("select", { "data-key": `filter-${name}`, onchange: (event) => context.go(addressWith({ [name]: event.target.value })) },
      h("option", { value: "" }, t("all")),
      values.map((value) => h("option", { value, selected: current === value }, word(kind, value)))));
}

/** A filter that is typed. */
export function field(name, value) {
  return h("label", null, t(`filter.${name}`), h("input", { name, value: value ?? "", "data-key": `filter-${name}`, autocomplete: "off", spellcheck: "false" }));
}

/** Filters, and the button for those that are typed. */
export function bar(apply, ...fields) {
  return h("form", { class: "filters", onsubmit: (event) => {
    event.preventDefault();
    const typed = [...event.target.querySelectorAll("input[name]")];
    apply(Object.fromEntries(typed.map((input) => [input.name, input.value.trim()])));
  } }, fields, h("button", { type: "submit", "data-key": "filter" }, t("apply")));
}

/** Saves rows as a file that spreadsheets open as text. */
export function download(name, columns, rows) {
  // A spreadsheet takes what begins like this for a formula.
  const cell = (value) => `"${String(value ?? "").replace(/^(?=[=+\-@\t\r])/, "'").replaceAll('"', '""')}"`;
  const lines = [columns, ...rows].map((row) => row.map(cell).join(","));
  // The mark at the beginning tells Excel that it is UTF-8.
  const url = URL.createObjectURL(new Blob([`\ufeff${lines.join("\r\n")}\r\n`], { type: "text/csv" }));
  h("a", { href: url, download: `${name}.csv`, target: "_self" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Reads a list to its end, page by page. */
export async function readAll(context, action, body, member) {
  const rows = [];
  let cursor;
  do {
    const answer = await context.ask(action, { ...body, cursor });
    rows.push(...answer[member]);
    ({ cursor } = answer);
    context.notify(t("read", { n: rows.length }));
  } while (cursor);
  return rows;
}

// Words, numbers and times in the person's language.

import { WORDS } from "./words.js";

/** The languages, in the order of the table of words. */
const LANGUAGES = ["en", "sv"];

/** What the browser keeps: the language and the theme, and nothing else. */
export function kept(name) {
  try {
    return localStorage.getItem(`console.${name}`);
  } catch {
    return null;
  }
}

/** Keeps a choice, where the browser lets us. */
export function keep(name, value) {
  try {
    localStorage.setItem(`console.${name}`, value);
  } catch {
    // It holds until the page is closed.
  }
}

let language = "en";

export function setLanguage(wanted) {
  const names = [wanted, ...navigator.languages].filter(Boolean).map((name) => name.slice(0, 2));
  language = names.find((name) => LANGUAGES.includes(name)) ?? "en";
  document.documentElement.lang = language;
  return language;
}

const inLanguage = (key) => WORDS[key]?.[LANGUAGES.indexOf(language)];

/** A sentence of the page. `{name}` stands for a value; where there is an `n`, `key.one` is the sentence for one. */
export function t(key, values = {}) {
  const text = (values.n === 1 && inLanguage(`${key}.one`)) || inLanguage(key) || key;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString(language) : (value ?? "");
  });
}

/** A word of the operator, such as a reason, in the page's language where it is known. */
export function word(kind, value) {
  return inLanguage(`${kind}.${value}`) ?? value;
}

/** A number, with the separators of the language. */
export const number = (value) => value.toLocaleString(language);

/** The browser's own form of the page's language, such as British English. */
const locale = () => navigator.languages.find((name) => name.startsWith(language)) ?? language;

/** A time in the browser's zone. */
export function time(text) {
  if (!text) return null;
  const at = new Date(text);
  const format = new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "medium" });
  const element = document.createElement("time");
  element.dateTime = text;
  element.textContent = format.format(at);
  return element;
}

/** The time of day. */
export function clock(at) {
  return new Intl.DateTimeFormat(locale(), { timeStyle: "medium" }).format(at);
}

/** How long, in the two greatest units. */
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = Math.max(0, units.findIndex(([, size]) => seconds >= size));
  const parts = [];
  for (const [unit, size] of seconds >= 1 ? units.slice(first, first + 2) : [["s", 1]]) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count || !parts.length) parts.push(`${count} ${unit}`);
  }
  return parts.join(" ");
}

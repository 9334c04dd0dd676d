// Who did what, to what and why; refused acts too.

import { button, h, said, table } from "./dom.js";
import { addressWith, bar, chips, cursorOf, download, field, filtersOf, pages, readAll, select } from "./list.js";
import { subjectLink } from "./owed.js";
import { t, time, word } from "./text.js";

const FILTERS = ["user", "did", "subject", "state"];
const ACTS = ["retry", "dismiss", "restore", "replay", "plan", "pass", "redrive", "trial", "forget", "unbind", "rebind", "import-mappings"];
const STATES = ["started", "done", "refused"];
/** So many are on a page. */
const PAGE = 50;
/** The server lists no more at once; for files. */
const MOST = 500;
/** So many subjects are shown of an act; the file has all. */
const SUBJECTS = 5;

/** A person: as the sign-in provider calls him or her, or by its identifier. */
export const who = (by) => (by.role === "aws" ? t("byAws") : by.name ?? by.user);

function inWords(name, value) {
  return `${t(`filter.${name}`)}: ${name === "did" || name === "state" ? word(name, value) : value}`;
}

function user(by) {
  const name = who(by);
  // Some providers identify people by their e-mail addresses, which are put into no address.
  return by.user.includes("@") ? name : h("a", { href: addressWith({ user: by.user }) }, name);
}

async function save(context) {
  const columns = ["at", "user", "name", "role", "did", "subjects", "asked", "because", "state", "ended", "result"];
  const entries = await readAll(context, "activity", { ...filtersOf(context.query, FILTERS), limit: MOST }, "entries");
  download("activity", columns, entries.map((entry) => {
    const flat = { ...entry, ...entry.by, subjects: entry.subjects.join(" ") };
    return columns.map((column) => flat[column]);
  }));
  context.notify(t("exported", { n: entries.length }));
}

export const activity = {
  load: ({ ask, query }, signal) => ask("activity", { ...filtersOf(query, FILTERS), limit: PAGE, cursor: cursorOf(query) }, signal),
  frame(context) {
    const { query } = context;
    const go = (changes) => {
      // No entry has an e-mail address, and neither gets the address of the page.
      if (changes.subject?.includes("@")) context.notify(t("activity.noEmail"));
      else context.go(addressWith(changes));
    };
    return [
      h("p", { class: "lead" }, t("activity.lead")),
      bar(go, select(context, "did", ACTS), select(context, "state", STATES), field("subject", query.get("subject"))),
      chips(Object.entries(filtersOf(query, FILTERS)), inWords, (name) => go({ [name]: "" })),
    ];
  },
  view(data, context) {
    if (!data.entries.length) return h("p", { class: "empty" }, t("activity.none"));
    return [
      h("div", { class: "buttons" }, button("csv", t("export"), () => context.attempt(save(context)))),
      table(t("activity.caption"), [t("when"), t("who"), t("what"), t("toWhat"), t("why"), t("result")], data.entries.map((entry) => [
        time(entry.at), user(entry.by), [word("did", entry.did), entry.asked && h("small", null, entry.asked)],
        entry.subjects.length > 0 && h("ul", { class: "plain" }, entry.subjects.slice(0, SUBJECTS).map((subject) => h("li", null, subjectLink(subject))), entry.subjects.length > SUBJECTS && h("li", null, t("andMore", { n: entry.subjects.length - SUBJECTS }))),
        entry.because, [h("span", { class: `chip ${entry.state}` }, word("state", entry.state)), said(entry.result, "p")]])),
      pages(context.query, data),
    ];
  },
};

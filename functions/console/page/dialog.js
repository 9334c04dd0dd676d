// Dialogs: the browser holds the focus in them, and gives it back.

import { find, flat, h } from "./dom.js";
import { t } from "./text.js";

/**
 * Asks before something is done. `fields` are put above the buttons; `isReady` says whether it can be done, and is asked again
 * with each change; `go` does it, and may replace what the dialog shows: it gets a function that does so, and a signal that
 * ends when the person stops it.
 */
export function confirm({ title, text, fields = [], label, danger, isReady = () => true, go }) {
  const stop = new AbortController();
  const { key } = document.activeElement?.dataset ?? {};
  let isWorking = false;
  const status = h("div", { role: "status", class: "progress" });
  const button = h("button", { class: danger ? "danger" : "primary", type: "submit", disabled: !isReady() }, label);
  const cancel = h("button", { type: "button", onclick: () => (isWorking ? stop.abort() : dialog.close()) }, t("cancel"));
  const form = h("form", {
    oninput: () => { button.disabled = !isReady(); },
    onsubmit: async (event) => {
      event.preventDefault();
      if (!isReady()) return;
      for (const field of form.querySelectorAll("input, select, textarea")) field.disabled = true;
      button.disabled = true;
      cancel.textContent = t("stop");
      const say = (...children) => status.replaceChildren(...flat(children));
      say(t("working"));
      isWorking = true;
      try {
        await go(say, stop.signal);
        button.remove();
        cancel.textContent = t("close");
        cancel.focus();
      } catch (fault) {
        say(h("p", { class: "fault" }, faultText(fault)));
        for (const field of form.querySelectorAll("input, select, textarea")) field.disabled = false;
        button.disabled = !isReady();
        cancel.textContent = t("cancel");
      }
      isWorking = false;
    },
  }, text, fields, status, h("div", { class: "buttons" }, cancel, button));
  const dialog = h("dialog", {
    "aria-labelledby": "dialog-title",
    onclose: () => {
      stop.abort();
      dialog.remove();
      // The list may have been rebuilt meanwhile, with the button that the browser would have given the focus back to.
      if (document.activeElement === document.body) (find(key) ?? document.querySelector("main")).focus();
    },
  }, h("h2", { id: "dialog-title" }, title), form);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A fault in a sentence: the server's own where it says one. */
export function faultText(fault) {
  return fault.message || t(`fault.${fault.kind ?? "later"}`);
}

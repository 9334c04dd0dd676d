// Dialogs: the browser holds the focus in them, and gives it back.

import { button, find, flat, h } from "./dom.js";
import { t } from "./text.js";

/**
 * Asks before something is done. `fields` are put above the buttons; `isReady` says whether it can be done, and is asked again
 * with each change; `go` does it, and may replace what the dialog shows: it gets a function that does so. What takes several steps
 * can be stopped (`canStop`), and gets a signal that says so; a request that has been sent is not, because it is carried out anyway. `again` reads the list once more, where the server refuses because it has changed.
 */
export function confirm({ title, text, fields = [], label, danger, isReady = () => true, go, canStop = false, again }) {
  let stop = null;
  const { key } = document.activeElement?.dataset ?? {};
  let isWorking = false;
  const status = h("div", { role: "status", class: "progress" });
  const send = h("button", { class: danger ? "danger" : "primary", type: "submit", disabled: !isReady() }, label);
  const cancel = button("cancel", t("cancel"), () => (isWorking ? stop.abort() : dialog.close()));
  const freeze = (isFrozen) => {
    for (const field of form.querySelectorAll("input, select, textarea")) field.disabled = isFrozen;
    send.disabled = isFrozen || !isReady();
    cancel.textContent = t(isFrozen && canStop ? "stop" : "cancel");
    cancel.disabled = isFrozen && !canStop;
    isWorking = isFrozen;
  };
  const form = h("form", {
    oninput: () => { send.disabled = !isReady(); },
    onsubmit: async (event) => {
      event.preventDefault();
      if (!isReady()) return;
      stop = new AbortController();
      freeze(true);
      const say = (...children) => status.replaceChildren(...flat(children));
      say(t("working"));
      try {
        await go(say, stop.signal);
        isWorking = false;
        send.remove();
        cancel.disabled = false;
        cancel.textContent = t("close");
        cancel.focus();
      } catch (fault) {
        say(h("div", { class: "fault" }, fault.before && h("p", null, fault.before), h("p", null, faultText(fault)),
          again && fault.kind === "request" && h("p", null, button("list-again", t("listAgain"), () => { dialog.close(); again(); }))));
        freeze(false);
      }
    },
  }, text, fields, status, h("div", { class: "buttons" }, cancel, send));
  const dialog = h("dialog", {
    "aria-labelledby": "dialog-title",
    // A request that was sent ends before the dialog does, so that its result is seen.
    oncancel: (event) => { if (isWorking && !canStop) event.preventDefault(); },
    onclose: () => {
      stop?.abort();
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

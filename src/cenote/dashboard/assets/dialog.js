/** Dialogs: the browser's own, which keep the focus and end with Esc; afterwards it is where it was. */

import { h, unique } from "./dom.js";

/**
 * Open a dialog.
 *
 * @param {string} title What it is called.
 * @param {(Node | string | null | false)[]} content What is in it.
 * @param {{wide?: boolean, closed?: () => void}} [options] Its width, and what to do when it has closed.
 * @returns {HTMLDialogElement} The dialog, open.
 */
export function openDialog(title, content, { wide = false, closed } = {}) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const label = unique("dialog");
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => dialog.close() }, "×");
  const dialog = h("dialog", { class: wide ? "wide" : null, "aria-labelledby": label }, h("header", {}, h("h2", { id: label }, title), close), ...content);
  dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Tab") keep(dialog, event);
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before?.isConnected) before.focus();
    closed?.();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Keep Tab within a dialog: without this it would go through the browser's own buttons.
 *
 * @param {HTMLElement} dialog
 * @param {KeyboardEvent} event
 */
function keep(dialog, event) {
  const all = [...dialog.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")].filter(
    (each) => each instanceof HTMLElement && !each.matches(":disabled, [tabindex='-1']") && each.offsetParent !== null,
  );
  const [first, last] = [all[0], all[all.length - 1]];
  if (event.shiftKey && document.activeElement === first) {
    event.preventDefault();
    /** @type {HTMLElement} */ (last).focus();
  } else if (!event.shiftKey && document.activeElement === last) {
    event.preventDefault();
    /** @type {HTMLElement} */ (first).focus();
  }
}

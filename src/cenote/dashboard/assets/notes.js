/** Notes: what happens now, said in a corner for a while and to readers of the screen. */

import { h } from "./dom.js";

const MOST = 4;
const STAY = 8000;

/**
 * Say something.
 *
 * @param {string} text What.
 * @param {{href?: string, kind?: "" | "bad" | "good", words?: string}} [options] Where to read more, and how it is meant.
 */
export function note(text, { href, kind = "", words = "Show" } = {}) {
  const place = /** @type {HTMLElement} */ (document.getElementById("notes"));
  const close = h("button", { type: "button", class: "quiet", "aria-label": "Dismiss", onclick: () => element.remove() }, "×");
  const element = h("div", { class: `note ${kind}` }, h("span", {}, text), href && h("a", { href }, words), close);
  place.append(element);
  while (place.children.length > MOST) place.firstElementChild?.remove();
  const leave = () => {
    if (element.matches(":hover, :focus-within")) setTimeout(leave, STAY);
    else element.remove();
  };
  setTimeout(leave, STAY);
}

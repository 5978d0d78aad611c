/** The hottest keys, with what they are read and what they cost. */

import { h } from "./dom.js";
import { compact, rate, seconds } from "./format.js";

/**
 * Make the list.
 *
 * @param {any[] | null | undefined} keys As the API has them.
 * @param {((key: string) => void) | null} [explain] What to do when one is chosen; null: they cannot be.
 * @returns {HTMLElement}
 */
export function hotKeys(keys, explain = null) {
  if (!keys?.length) return h("p", { class: "hint" }, "None yet.");
  return h(
    "ol",
    { class: "hot" },
    keys.map((each) =>
      h(
        "li",
        {},
        explain ? h("button", { type: "button", class: "key", onclick: () => explain(each.key) }, each.key) : h("span", { class: "key", title: each.key }, each.key),
        // The eviction policy counts up to a bound, so the number is a guess.
        h("span", { class: "hint" }, `≈${each.readsPerSecond ? rate(each.readsPerSecond) : `${compact(each.reads)} reads`}, loads in ${seconds(each.loadSeconds)}`),
      ),
    ),
  );
}

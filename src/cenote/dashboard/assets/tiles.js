/** Tiles: a figure, what it is, and a word about it. Their size does not depend on the figure. */

import { h, say } from "./dom.js";
import { sparkline } from "./sparkline.js";

/**
 * @typedef {{element: HTMLElement, set: (value: string, hint?: string, values?: (number | null)[] | null) => void}} Tile
 */

/**
 * Make a tile.
 *
 * @param {string} label What the figure is.
 * @param {{spark?: {low?: number, high?: number}}} [options] Whether the last minutes are drawn below it.
 * @returns {Tile}
 */
export function tile(label, { spark } = {}) {
  const value = h("dd", { class: "value" }, "–");
  const hint = h("dd", { class: "hint" }, "\u00a0");
  const line = spark ? sparkline(spark) : null;
  const element = h("div", { class: spark ? "tile wide" : "tile" }, h("dt", {}, label), value, hint, line && h("dd", { class: "trend" }, line.element));
  return {
    element,
    set(text, word = "", values) {
      say(value, text);
      say(hint, word || "\u00a0");
      if (line && values) line.set(values);
    },
  };
}

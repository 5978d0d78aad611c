/** The columns of the overview's table, and a row of it. */

import { attr, h, say, unique } from "./dom.js";
import { NONE, bytes, compact, count, millis, percent, rate, seconds, title } from "./format.js";
import { placeOf } from "./router.js";
import { sparkline } from "./sparkline.js";

/** @typedef {{key: string, name: string, sort?: string, text?: (row: any) => string}} Column */

/** @type {Column[]} */
export const COLUMNS = [
  { key: "name", name: "Cache", sort: "name" },
  { key: "hit", name: "Hit rate", sort: "recentHitRate", text: (row) => percent(row.recent?.hitRate ?? (row.recent ? null : row.hitRate)) },
  { key: "trend", name: "Last 10 min" },
  { key: "reads", name: "Reads", sort: "recentReads", text: (row) => rate(row.recent?.readsPerSecond) },
  { key: "entries", name: "Entries", sort: "entries" },
  { key: "bytes", name: "Bytes", sort: "bytes", text: (row) => bytes(row.bytes) },
  { key: "evictions", name: "Evicted", sort: "evictions", text: (row) => compact(row.evictions) },
  { key: "load", name: "Load p95", text: (row) => millis(row.loadMs?.p95) },
  { key: "saved", name: "Saved", sort: "savedSeconds", text: (row) => seconds(row.savedSeconds) },
  { key: "efficiency", name: "Efficiency", sort: "efficiency", text: (row) => percent(row.efficiency) },
];

/**
 * Make a row of the table.
 *
 * @param {(index: number) => any} at What stands at a place; null while it is not known.
 * @param {((row: any) => void) | null} clear What to do when it is to be cleared; null: who looks may not.
 * @returns {import("./table.js").Row}
 */
export function makeRow(at, clear) {
  let shown = null;
  const link = h("a", { class: "name", href: "#/" });
  const state = h("span", { class: "chip" });
  const spark = sparkline({ low: 0, high: 100 });
  const fillage = h("span", { class: "meter", "aria-hidden": "true" }, h("i"));
  const entries = h("span");
  /** @type {Record<string, HTMLElement>} */
  const cells = {};
  for (const { key } of COLUMNS) cells[key] = h("div", { role: "cell", class: `c-${key}` });
  cells.name.append(link, state);
  cells.trend.append(spark.element);
  cells.entries.append(entries, fillage);
  const button = clear && h("button", { type: "button", class: "small", onclick: () => shown && clear(shown) }, "Clear…");
  const label = unique("cache");
  link.id = label;
  // Nobody gets to a row that stands for a cache which is not known yet: its link has no name and leads nowhere.
  const element = h("div", { role: "row", class: "row", inert: true }, Object.values(cells), h("div", { role: "cell", class: "c-do" }, button));
  return {
    element,
    update(index) {
      const row = at(index);
      element.classList.toggle("waiting", row === null);
      if (row === null || row === shown) return;
      shown = row;
      element.inert = false;
      say(link, title(row.serviceName));
      attr(link, "href", placeOf(row.serviceName));
      element.classList.toggle("global", row.serviceName === null);
      if (button) attr(button, "aria-label", `Clear ${title(row.serviceName)}…`);
      for (const { key, text } of COLUMNS) if (text) say(cells[key], text(row));
      cells.hit.classList.toggle("low", (row.recent?.hitRate ?? 100) < 50);
      say(entries, row.maxSize ? `${compact(row.currentSize)} of ${compact(row.maxSize)}` : count(row.currentSize));
      const part = row.maxSize ? row.currentSize / row.maxSize : row.maxBytes && row.bytes ? row.bytes / row.maxBytes : 0;
      const bar = /** @type {HTMLElement} */ (fillage.firstChild);
      bar.style.width = `${Math.min(100, 100 * part)}%`;
      fillage.classList.toggle("none", !part);
      spark.set(row.sparkline?.hitRate);
      say(state, row.clearing ? "clearing" : row.refill?.state === "running" ? `refilling ${rate(row.refill.ratePerSecond)}` : "");
    },
  };
}

/** @param {any} totals @param {any} overview @returns {[string, string]} How far a clear reaches, and over whom. */
export function reachOf(totals, overview) {
  const level = overview.level ?? totals.level ?? NONE;
  const processes = overview.processes?.length ?? 0;
  const machines = overview.members?.length ?? 0;
  const parts = [`${processes} ${processes === 1 ? "process" : "processes"}`];
  if (machines) parts.unshift(`${machines} ${machines === 1 ? "machine" : "machines"}`);
  return [level, parts.join(", ")];
}

/** One cache: its figures, its history, its entries, and the options in force. */

import { get } from "./api.js";
import { freshened } from "./catalog.js";
import { openClear } from "./clear.js";
import { h, paused, say } from "./dom.js";
import { entries } from "./entries.js";
import { openExplain } from "./explain.js";
import { NONE, bytes, compact, count, millis, percent, plural, rate, seconds, title, when } from "./format.js";
import { history } from "./history.js";
import { hotKeys } from "./hot.js";
import { placeOfClear } from "./router.js";
import { tile } from "./tiles.js";

/**
 * Show one cache.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {HTMLElement} main Where to show it.
 * @param {import("./router.js").Route} place Which.
 * @returns {() => void} Ends it.
 */
export function service(app, main, { service: name = null }) {
  const operator = app.session.role === "operator";
  const chip = h("span", { class: "chip" });
  const tiles = makeTiles();
  const last = h("p", { class: "last hint" }, "\u00a0");
  const options = h("dl", { class: "options" });
  const functions = h("ul", { class: "plain" });
  const hot = h("div");
  const charts = history(app, { service: name });
  const list = entries(app, name);
  main.append(
    h("div", { class: "title" },
      h("h1", { tabindex: -1 }, title(name)), chip,
      operator && h("button", { type: "button", class: "danger", onclick: () => openClear(app, { service: name }) }, "Clear…")),
    tiles.element,
    last,
    charts.element,
    h("div", { class: "columns" },
      h("div", {}, list.element),
      h("div", {},
        h("section", {}, h("h2", {}, "Hottest keys"), hot),
        h("section", {}, h("h2", {}, "Options in force"), options),
        h("section", {}, h("h2", {}, "Memoized functions"), functions))),
  );

  /** @type {any} */
  let row = null;
  const aborting = new AbortController();

  async function fetch() {
    try {
      row = await get("cache/detail", { serviceName: name }, aborting.signal);
    } catch (error) {
      if (aborting.signal.aborted) return;
      if (/** @type {any} */ (error).status === 404) gone();
      else app.failed(error);
      return;
    }
    show();
    showRest();
  }

  function gone() {
    main.replaceChildren(h("h1", { tabindex: -1 }, title(name)), h("p", { class: "nothing" }, "There is no such cache. ", h("a", { href: "#/" }, "All caches")));
  }

  function show() {
    tiles.show(row);
    say(chip, row.enabled === false ? "switched off" : row.clearing ? "clearing" : row.refill?.state === "running" ? `refilling at ${rate(row.refill.ratePerSecond)}` : "");
  }

  function showRest() {
    const event = row.lastClear;
    last.replaceChildren(
      event ? `Last cleared ${when(event.timestamp)}${event.actor ? ` by ${event.actor}` : ""}: ${plural(event.entries, "entry", "entries")}. ` : "Not cleared since the answering process began.",
      event?.clearId ? h("a", { href: placeOfClear(event.clearId) }, "Receipt") : "",
    );
    options.replaceChildren(...Object.entries(row.options ?? {}).flatMap(([option, value]) => [h("dt", {}, option), h("dd", {}, written(value))]));
    functions.replaceChildren(...(row.functions?.length ? row.functions.map((/** @type {string} */ each) => h("li", {}, h("code", {}, each))) : [h("li", { class: "hint" }, "None.")]));
    hot.replaceChildren(hotKeys(row.topKeys, (key) => openExplain(app, name, key)));
  }

  const soon = paused(300, fetch);
  const stop = app.listen({
    overview: ({ detail }) => {
      const fresh = detail.caches.find((/** @type {any} */ each) => each.serviceName === name);
      if (!fresh || !row) return;
      row = freshened(row, fresh);
      show();
    },
    "clear-begun": soon,
    "clear-done": soon,
    refill: soon,
    again: soon,
  });
  void fetch();
  return () => {
    stop();
    soon.cancel();
    aborting.abort();
    charts.dispose();
    list.dispose();
  };
}

/** @param {any} value @returns {string} */
function written(value) {
  if (value === null || value === undefined) return NONE;
  if (value === true || value === false) return value ? "on" : "off";
  if (Array.isArray(value)) return value.join(", ") || NONE;
  return typeof value === "number" ? count(value) === "0" || !Number.isInteger(value) ? String(value) : count(value) : String(value);
}

function makeTiles() {
  const hit = tile("Hit rate, last minute");
  const reads = tile("Reads");
  const held = tile("Entries");
  const load = tile("Load p95");
  const saved = tile("Time saved");
  const shared = tile("Coalesced");
  const stale = tile("Stale served");
  const gone = tile("Evicted");
  const all = [hit, reads, held, load, saved, shared, stale, gone];
  return {
    element: h("dl", { class: "tiles" }, all.map((each) => each.element)),
    /** @param {any} row */
    show(row) {
      hit.set(percent(row.recent?.hitRate), `${percent(row.hitRate)} in all`);
      reads.set(rate(row.recent?.readsPerSecond), `${compact(row.hits)} hits, ${compact(row.misses)} misses`);
      held.set(row.maxSize ? `${compact(row.currentSize)} of ${compact(row.maxSize)}` : count(row.currentSize), row.bytes ? bytes(row.bytes) : "not weighed");
      load.set(millis(row.loadMs?.p95), `p50 ${millis(row.loadMs?.p50)}, p99 ${millis(row.loadMs?.p99)}`);
      saved.set(seconds(row.savedSeconds), `${percent(row.efficiency)} of loading`);
      shared.set(compact(row.coalesced), `${compact(row.loads)} loads, ${compact(row.loadFailures)} failed`);
      stale.set(compact(row.staleServed), "reads");
      gone.set(compact(row.evictions), `${compact(row.expirations)} expired, ${compact(row.invalidations)} cleared`);
    },
  };
}

/** The overview: all caches at a glance. */

import { h, attr, paused, say } from "./dom.js";
import { Catalog } from "./catalog.js";
import { openClear } from "./clear.js";
import { COLUMNS, makeRow, reachOf } from "./columns.js";
import { bytes, compact, count, percent, plural, rate, seconds, when } from "./format.js";
import { VirtualRows } from "./table.js";
import { tile } from "./tiles.js";

const REFRESH = 10000;

/** What the choice of an order offers, beside the headings: [sort, order, words]. */
const SORTS = [
  ["name", "asc", "Name"],
  ["recentReads", "desc", "Most reads"],
  ["recentHitRate", "asc", "Lowest hit rate"],
  ["recentHitRate", "desc", "Highest hit rate"],
  ["entries", "desc", "Most entries"],
  ["bytes", "desc", "Most bytes"],
  ["evictions", "desc", "Most evictions"],
  ["savedSeconds", "desc", "Most time saved"],
  ["efficiency", "asc", "Lowest efficiency"],
];

/**
 * Show the overview.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {HTMLElement} main Where to show it.
 * @returns {() => void} Ends it.
 */
export function overview(app, main) {
  const catalog = new Catalog();
  const operator = app.session.role === "operator";
  const band = makeBand();
  const search = h("input", { type: "search", id: "search", placeholder: "Find a cache", autocomplete: "off", spellcheck: "false", oninput: paused(150, () => seek(search.value)) });
  const order = h("select", { id: "order", onchange: () => sortBy(...order.value.split(" ")) }, SORTS.map(([sort, way, words]) => h("option", { value: `${sort} ${way}` }, words)));
  order.append(h("option", { value: "", hidden: true }, "As in the table"));
  const found = h("output", { class: "found", for: "search" }, "\u00a0");
  const everything = operator && h("button", { type: "button", class: "danger", onclick: () => openClear(app, { all: true }) }, "Clear everything…");
  const headings = COLUMNS.map((column) => heading(column, (sort) => turn(sort)));
  const body = h("div", { class: "rows", role: "rowgroup" });
  const nothing = h("p", { class: "nothing", hidden: true });
  const table = h(
    "div",
    { class: "caches", role: "table", "aria-label": "Caches" },
    h("div", { role: "rowgroup", class: "head" }, h("div", { role: "row", class: "row", "aria-rowindex": 1 }, headings.map(({ element }) => element), h("div", { role: "columnheader", class: "c-do" }, h("span", { class: "unseen" }, "Actions")))),
    body,
  );
  main.append(
    h("h1", { class: "unseen", tabindex: -1 }, "Overview"),
    band.element,
    h("div", { class: "toolbar" }, h("label", { class: "unseen", for: "search" }, "Find a cache"), search, h("label", { for: "order", class: "unseen" }, "Order"), order, found, everything),
    table,
    nothing,
  );
  const rows = new VirtualRows(body, () => makeRow((index) => catalog.at(index), operator ? (row) => openClear(app, { service: row.serviceName }) : null));

  function seek(text) {
    void catalog.ask({ search: text.trim() });
  }

  /** @param {string} sort @param {any} way */
  function sortBy(sort, way) {
    void catalog.ask({ sort, order: way });
    showOrder();
  }

  /** @param {string} sort */
  function turn(sort) {
    const first = sort === "name" ? "asc" : "desc";
    const other = first === "asc" ? "desc" : "asc";
    sortBy(sort, catalog.query.sort === sort && catalog.query.order === first ? other : first);
  }

  function showOrder() {
    const chosen = `${catalog.query.sort} ${catalog.query.order}`;
    order.value = SORTS.some(([sort, way]) => `${sort} ${way}` === chosen) ? chosen : "";
    for (const each of headings) each.show(catalog.query);
  }

  function show() {
    if (!catalog.overview) return;
    band.show(catalog.overview);
    attr(table, "aria-rowcount", String(catalog.matching + 1));
    say(found, catalog.query.search ? `${count(catalog.matching)} found` : plural(catalog.matching, "cache"));
    nothing.hidden = catalog.matching > 0;
    say(nothing, catalog.query.search ? "No cache has this in its name." : "There are no caches yet.");
    rows.setCount(catalog.matching);
  }

  const refetch = () => catalog.refresh(...rows.range());
  const soon = paused(400, refetch);
  const take = (/** @type {any} */ event) => {
    if (catalog.take(event.detail)) soon();
    show();
  };
  catalog.addEventListener("change", show);
  catalog.addEventListener("failed", (event) => app.failed(/** @type {CustomEvent} */ (event).detail));
  const stop = app.listen({ overview: take, "clear-begun": soon, "clear-done": soon, refill: soon, again: soon });
  const timer = setInterval(() => document.hidden || refetch(), REFRESH);
  showOrder();
  rows.setCount(8);
  return () => {
    stop();
    soon.cancel();
    clearInterval(timer);
    rows.dispose();
    catalog.cancel();
  };
}

/** The figures of all caches together. */
function makeBand() {
  const hit = tile("Hit rate, last minute", { spark: { low: 0, high: 100 } });
  const reads = tile("Reads", { spark: {} });
  const held = tile("Entries");
  const saved = tile("Time saved");
  const gone = tile("Evicted");
  const reach = tile("A clear reaches");
  const shown = [hit, reads, held, saved, gone, reach];
  const who = h("ul");
  const summary = h("summary", {}, "Who shares the caches");
  const element = h("section", { "aria-label": "All caches together" }, h("dl", { class: "tiles" }, shown.map((each) => each.element)), h("details", { class: "who" }, summary, who));
  let known = "";
  return {
    element,
    /** @param {any} overview */
    show(overview) {
      const totals = overview.totals;
      hit.set(percent(totals.recent.hitRate), `${percent(totals.hitRate)} in all`, totals.sparkline?.hitRate);
      reads.set(rate(totals.recent.readsPerSecond), `${compact(totals.hits + totals.misses)} in all, ${rate(totals.recent.loadsPerSecond)} loaded`, totals.sparkline?.readsPerSecond);
      held.set(compact(totals.currentSize), totals.bytes ? bytes(totals.bytes) : `in ${plural(overview.matching, "cache")}`);
      saved.set(seconds(totals.savedSeconds), `${percent(totals.efficiency)} of loading`);
      gone.set(compact(totals.evictions), `${compact(totals.expirations)} expired`);
      reach.set(...reachOf(totals, overview));
      const lines = [
        ...(overview.members ?? []).map((/** @type {any} */ each) => `machine ${each.name}`),
        ...(overview.processes ?? []).map((/** @type {any} */ each) => `process ${each.pid}: ${plural(each.entries, "entry", "entries")}, since ${when(each.since)}`),
      ];
      if (lines.join("\n") === known) return;
      known = lines.join("\n");
      who.replaceChildren(...lines.map((line) => h("li", {}, line)));
    },
  };
}

/**
 * @param {import("./columns.js").Column} column
 * @param {(sort: string) => void} turn
 */
function heading(column, turn) {
  const sort = column.sort;
  const element = h("div", { role: "columnheader", class: `c-${column.key}` }, sort ? h("button", { type: "button", class: "sort", onclick: () => turn(sort) }, column.name) : column.name);
  return {
    element,
    /** @param {import("./catalog.js").Query} query */
    show(query) {
      if (!sort) return;
      attr(element, "aria-sort", query.sort !== sort ? "none" : query.order === "asc" ? "ascending" : "descending");
    },
  };
}

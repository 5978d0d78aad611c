/**
 * The caches that a search leaves, in order: fetched page by page as they come into sight, kept up to date by events.
 *
 * @typedef {{search: string, sort: string, order: "asc" | "desc"}} Query
 */

import { get } from "./api.js";

const PAGE = 100;

export class Catalog extends EventTarget {
  /** @type {Query} */
  query = { search: "", sort: "name", order: "asc" };
  matching = 0;
  /** @type {any} The last overview, without its rows. */
  overview = null;
  /** @type {Map<number, string>} */
  #order = new Map();
  /** @type {Map<string, any>} */
  #rows = new Map();
  /** @type {Set<string>} Those that events told of, whether or not they were in sight. */
  #told = new Set();
  /** @type {Map<number, AbortController>} */
  #pending = new Map();

  /** @param {string | null} name @returns {string} */
  #key = (name) => (name === null ? "g" : `s${name}`);

  /** @param {Partial<Query>} change What to search for or sort by from now on. */
  ask(change) {
    this.query = { ...this.query, ...change };
    this.cancel();
    this.#order.clear();
    return this.fetch(0);
  }

  /** Give up what is under way. */
  cancel() {
    for (const controller of this.#pending.values()) controller.abort();
    this.#pending.clear();
  }

  /**
   * @param {number} index A place in the order.
   * @returns {any} The row; null while it is being fetched.
   */
  at(index) {
    const name = this.#order.get(index);
    if (name === undefined) {
      const page = Math.floor(index / PAGE);
      if (!this.#pending.has(page)) void this.fetch(page);
      return null;
    }
    return this.#rows.get(name) ?? null;
  }

  /** @param {string | null} name @returns {any} A cache's row, if it was seen. */
  of(name) {
    return this.#rows.get(this.#key(name));
  }

  /**
   * Fetch the pages that some places are on.
   *
   * @param {number} first The first place.
   * @param {number} last The place after the last.
   */
  refresh(first, last) {
    for (let page = Math.floor(first / PAGE); page * PAGE < Math.max(last, 1); page += 1) {
      if (!this.#pending.has(page)) void this.fetch(page);
    }
  }

  /** @param {number} page */
  async fetch(page) {
    const controller = new AbortController();
    this.#pending.set(page, controller);
    const { search, sort, order } = this.query;
    try {
      const found = await get(
        "cache/overview",
        { search: search || null, sort, order, offset: page * PAGE, limit: PAGE },
        controller.signal,
      );
      if (controller.signal.aborted) return;
      this.matching = found.matching;
      this.overview = found;
      for (const [place, row] of found.caches.entries()) {
        const key = this.#key(row.serviceName);
        this.#rows.set(key, { ...this.#rows.get(key), ...row });
        this.#order.set(page * PAGE + place, key);
      }
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (!controller.signal.aborted) this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    } finally {
      if (this.#pending.get(page) === controller) this.#pending.delete(page);
    }
  }

  /**
   * Take what an event says.
   *
   * @param {any} event An `overview` event.
   * @returns {boolean} Whether it tells of caches that were not there before.
   */
  take(event) {
    let news = false;
    for (const row of event.caches) {
      const key = this.#key(row.serviceName);
      const known = this.#rows.get(key);
      if (known) this.#rows.set(key, freshened(known, row));
      else if (!event.full && !this.#told.has(key)) news = true;
      this.#told.add(key);
    }
    if (this.overview && event.totals) this.overview.totals = freshened(this.overview.totals, event.totals);
    return news;
  }
}

/**
 * Bring a row up to date with the few figures of an event, and what follows from them.
 *
 * @param {any} row The row.
 * @param {any} event The figures.
 * @returns {any} The new row.
 */
export function freshened(row, event) {
  const fresh = { ...row, ...event };
  const reads = fresh.hits + fresh.misses;
  const all = fresh.savedSeconds + fresh.loadSeconds;
  fresh.hitRate = reads ? (100 * fresh.hits) / reads : 0;
  if (all > 0) fresh.efficiency = (100 * fresh.savedSeconds) / all;
  return fresh;
}

/** The entries of one cache, found by prefix or tag, page by page. */

import { get } from "./api.js";
import { h, paused, say } from "./dom.js";
import { openExplain } from "./explain.js";
import { NONE, compact, plural, seconds } from "./format.js";

const PAGE = 25;

/**
 * Make the list.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {string | null} service The cache.
 * @returns {{element: HTMLElement, dispose: () => void}}
 */
export function entries(app, service) {
  const again = paused(200, () => begin());
  const by = h("select", { id: "entries-by", onchange: () => text.value && begin() }, h("option", { value: "prefix" }, "begins with"), h("option", { value: "tag" }, "has the tag"));
  const text = h("input", { type: "search", id: "entries-text", autocomplete: "off", spellcheck: "false", oninput: again });
  const body = h("tbody");
  const back = h("button", { type: "button", disabled: true, onclick: () => turn(-1) }, "Previous");
  const next = h("button", { type: "button", disabled: true, onclick: () => turn(1) }, "Next");
  const page = h("span", { class: "hint", role: "status" }, "\u00a0");
  const element = h(
    "section",
    { class: "entries" },
    h("div", { class: "heading" }, h("h2", {}, "Entries"), h("button", { type: "button", onclick: () => openExplain(app, service, text.value, explained) }, "Explain a key…")),
    h("div", { class: "toolbar" }, h("label", { for: "entries-by", class: "unseen" }, "Search by"), by, h("label", { for: "entries-text", class: "unseen" }, "Text to search entries for"), text),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Entries" }, h("table", { class: "list" }, h("thead", {}, h("tr", {}, ["Key", "State", "Age", "Expires", "Load", "Reads", "Tags"].map((each) => h("th", { scope: "col" }, each)))), body)),
    h("div", { class: "pager" }, back, next, page),
  );
  /** @type {(string | null)[]} The cursors of the pages so far. */
  let cursors = [null];
  let at = 0;
  let aborting = new AbortController();

  function begin() {
    cursors = [null];
    at = 0;
    void show();
  }

  /** @param {number} step */
  function turn(step) {
    at += step;
    void show();
  }

  function explained() {
    void show();
  }

  async function show() {
    aborting.abort();
    aborting = new AbortController();
    const { signal } = aborting;
    let found;
    try {
      const query = text.value ? { [by.value]: text.value } : {};
      found = await get("cache/entries", { serviceName: service, cursor: cursors[at], limit: PAGE, ...query }, signal);
    } catch (error) {
      if (!signal.aborted) app.failed(error);
      return;
    }
    cursors = [...cursors.slice(0, at + 1), ...(found.cursor ? [found.cursor] : [])];
    body.replaceChildren(...found.entries.map((/** @type {any} */ each) => line(each)));
    back.disabled = at === 0;
    next.disabled = !found.cursor;
    const first = at * PAGE;
    say(page, found.entries.length ? `${first + 1} to ${first + found.entries.length}${found.cursor ? "" : `, ${plural(first + found.entries.length, "entry", "entries")} in all`}` : text.value ? "No entry like this." : "No entries.");
  }

  /** @param {any} entry */
  function line(entry) {
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, h("button", { type: "button", class: "key", onclick: () => openExplain(app, service, entry.key, explained) }, entry.key)),
      h("td", {}, h("span", { class: `state ${entry.state}` }, entry.state)),
      h("td", {}, seconds(entry.age)),
      h("td", {}, entry.expiresIn === null ? "never" : `in ${seconds(entry.expiresIn)}`),
      h("td", {}, seconds(entry.loadSeconds)),
      h("td", {}, `≈${compact(entry.reads)}`),
      h("td", { class: "tags" }, entry.tags.join(", ") || NONE),
    );
  }

  const stop = app.listen({ "clear-done": begin, invalidated: again, again });
  void show();
  return {
    element,
    dispose() {
      stop();
      again.cancel();
      aborting.abort();
    },
  };
}

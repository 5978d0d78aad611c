/** One key, explained: what is there, why it is missing, and who cleared it. */

import { call, get } from "./api.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { NONE, bytes, compact, seconds, sentence, title, when } from "./format.js";
import { placeOfClear } from "./router.js";

/**
 * Open the explanation of a key.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {string | null} service The cache.
 * @param {string} key The key; empty: ask for one.
 * @param {() => void} [changed] Called when the entry was removed.
 */
export function openExplain(app, service, key, changed) {
  const field = h("input", { id: "explain-key", value: key, required: true, autocomplete: "off", spellcheck: "false" });
  const result = h("div", { class: "explained", "aria-live": "polite" });
  const remove = h("button", { type: "button", class: "danger", hidden: true, onclick: invalidate }, "Remove this entry");
  const form = h(
    "form",
    { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); void ask(); } },
    h("label", { for: "explain-key" }, `Key in ${title(service)}`),
    h("div", { class: "ask" }, field, h("button", { class: "primary" }, "Explain")),
  );
  openDialog("One key", [form, result, h("footer", {}, remove)]);
  field.focus();
  let shown = "";

  async function ask() {
    if (!field.value) return;
    try {
      const found = await get("cache/explain", { key: field.value, serviceName: service });
      shown = found.key;
      result.replaceChildren(...explanation(found));
      remove.hidden = app.session.role !== "operator" || found.state === "missing";
    } catch (error) {
      result.replaceChildren(h("p", { class: "error" }, /** @type {Error} */ (error).message));
    }
  }

  async function invalidate() {
    remove.disabled = true;
    try {
      await call("DELETE", "cache/invalidate", { body: { key: shown, serviceName: service } });
      await ask();
      changed?.();
      field.focus();
    } catch (error) {
      result.append(h("p", { class: "error", role: "alert" }, /** @type {Error} */ (error).message));
    } finally {
      remove.disabled = false;
    }
  }

  if (key) void ask();
}

/** @param {any} found @returns {HTMLElement[]} */
function explanation(found) {
  const state = h("p", { class: "verdict" }, h("span", { class: `state ${found.state}` }, found.state), " ");
  state.append(sentence(found.reason));
  const miss = found.lastMiss;
  const facts = [
    ["Loaded", when(found.bornAt)],
    ["Age", seconds(found.age)],
    ["Expires in", found.state === "missing" ? NONE : found.expiresIn === null ? "never" : seconds(found.expiresIn)],
    ["Ends in", found.state === "missing" ? NONE : found.hardEndIn === null ? "never" : seconds(found.hardEndIn)],
    ["Load time", seconds(found.loadSeconds)],
    ["Reads", found.state === "missing" ? NONE : `≈${compact(found.reads)}`],
    ["Size", bytes(found.size)],
    ["Tags", found.tags.join(", ") || NONE],
    ["Birth", found.birth === null || found.birth === undefined ? NONE : `record ${found.birth}`],
    ["Loading now", found.loading ? "yes" : "no"],
  ];
  const parts = [state, h("dl", { class: "facts" }, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))];
  if (found.error) parts.push(h("p", { class: "error" }, `The last load failed: ${found.error}`));
  if (miss) {
    const why = h("p", {}, h("b", {}, found.state === "missing" ? "Why it is missing: " : "Why it was loaded last: "));
    why.append(sentence(miss.sentence), miss.at ? ` (${when(miss.at)}) ` : " ", miss.clearId ? h("a", { href: placeOfClear(miss.clearId) }, "That clear") : "");
    parts.push(why);
  }
  const by = found.clearedBy;
  if (by) {
    const line = h("p", {}, h("b", {}, "Last taken out by: "));
    line.append(`${by.actor ?? "somebody"}, ${when(by.timestamp)}. ${by.message} `, by.clearId ? h("a", { href: placeOfClear(by.clearId) }, "Receipt") : "");
    parts.push(line);
  }
  return parts;
}

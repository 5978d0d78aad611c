/** The receipt of a clear: how far it reached, who acknowledged it, and what came after. */

import { get } from "./api.js";
import { h } from "./dom.js";
import { NONE, count, millis, title, when } from "./format.js";
import { memberList } from "./progress.js";
import { recovery } from "./recovery.js";
import { placeOfClear } from "./router.js";

/**
 * Make a receipt.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {any} clear The clear, as the API has it.
 * @param {{level?: "h2" | "h3", preview?: any}} [options] What its headings are, and what was expected.
 * @returns {{element: HTMLElement, focus: () => void, dispose: () => void}}
 */
export function receipt(app, clear, { level = "h3", preview = null } = {}) {
  const done = clear.state === "done";
  const verdict = h("p", { class: `outcome ${done ? "good" : clear.state === "running" ? "" : "bad"}`, tabindex: -1 }, clear.message ?? `State: ${clear.state}`);
  const facts = [
    ["Cache", clear.all ? "everything" : title(clear.serviceName)],
    ["What", `${clear.mode ?? "hard"}${clear.scope ? `, ${clear.scope}` : ""}`],
    ["Entries", `${clear.countExact === false ? "about " : ""}${count(clear.entries)}`],
    ["Reached", clear.level ?? NONE],
    ["Took", millis(clear.durationMs)],
    ["Ended", when(clear.endedAt ?? clear.timestamp)],
    ["By", clear.actor ?? NONE],
    ["Reason", clear.reason ?? NONE],
  ];
  const after = done ? recovery(app, clear, level, preview) : null;
  const element = h(
    "section",
    { class: "receipt", "data-clear": clear.clearId },
    verdict,
    !done && clear.state === "failed" && h("p", {}, "The promise was not kept everywhere. What it reached is said below; clear it again."),
    h("dl", { class: "facts" }, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]), h("dt", {}, "Receipt"), h("dd", {}, h("a", { href: placeOfClear(clear.clearId) }, h("code", {}, clear.clearId)))),
    clear.members?.length ? [h(level, {}, "Members"), memberList(clear.members)] : null,
    after?.element,
  );
  return { element, focus: () => verdict.focus(), dispose: () => after?.dispose() };
}

/**
 * Show a clear as a view of its own.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {HTMLElement} main Where to show it.
 * @param {import("./router.js").Route} place Which.
 * @returns {() => void} Ends it.
 */
export function clearView(app, main, { clearId = "" }) {
  const space = h("div", { class: "clear-view" }, h("p", { class: "hint" }, "Looking …"));
  main.append(h("h1", { tabindex: -1 }, "A clear"), space);
  const aborting = new AbortController();
  let end = () => {};

  /** @param {any} clear */
  function show(clear) {
    if (aborting.signal.aborted) return;
    end();
    const shown = receipt(app, clear, { level: "h2" });
    end = shown.dispose;
    space.replaceChildren(shown.element);
  }

  async function fetch() {
    try {
      show(await get(`cache/clears/${encodeURIComponent(clearId)}`, {}, aborting.signal));
    } catch (error) {
      if (aborting.signal.aborted) return;
      if (/** @type {any} */ (error).status === 404) await search();
      else app.failed(error);
    }
  }

  /** Look in the audit trail, which holds more than the list of clears. */
  async function search() {
    try {
      const { events } = await get("cache/events", { text: clearId, order: "desc", limit: 1 }, aborting.signal);
      const event = events.find((/** @type {any} */ each) => each.clearId === clearId);
      if (event) show({ ...event, all: event.action === "clear_all", state: event.status === "success" ? "done" : "failed" });
      else space.replaceChildren(h("p", { class: "nothing" }, "The server that answers knows of no such clear."));
    } catch (error) {
      if (!aborting.signal.aborted) app.failed(error);
    }
  }

  const stop = app.listen({ "clear-done": ({ detail }) => detail.clearId === clearId && fetch() });
  void fetch();
  return () => {
    stop();
    aborting.abort();
    end();
  };
}

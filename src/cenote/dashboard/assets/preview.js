/** The preview: what a clear would take, what that costs, and how long it would be felt. */

import { Chart, telling } from "./chart.js";
import { h, say } from "./dom.js";
import { NONE, bytes, count, percent, plural, rate, seconds, sentence } from "./format.js";
import { hotKeys } from "./hot.js";

/** @type {Record<string, string>} Who waits for what is loaded again. */
const BORNE = { first: ", by one caller of each entry", none: ", behind stale copies" };

/** Make the panel. */
export function makePreview() {
  const state = h("p", { class: "verdict", role: "status" }, "Looking …");
  /** @type {Record<string, HTMLElement>} */
  const facts = {};
  const list = h("dl", { class: "facts" });
  for (const [key, words] of [["entries", "Entries"], ["bytes", "Bytes"], ["cost", "Loaded again"], ["back", "Hit rate back"], ["peak", "Most loads"], ["reach", "Reaches"]]) {
    facts[key] = h("dd", {}, NONE);
    list.append(h("dt", {}, words), facts[key]);
  }
  const chart = new Chart({ title: "Hit rate after the clear, predicted", write: percent, high: 100, elapsed: true, joined: true, lines: [{ label: "predicted", colour: 2, dash: true }, { label: "before", colour: 4 }] });
  const basis = h("p", { class: "hint basis" }, "\u00a0");
  const hot = h("div");
  const sample = h("ul", { class: "sample" });
  const element = h("section", { class: "preview", "aria-label": "Preview" }, h("h3", {}, "What it would take"), state, list, chart.element, basis, h("div", { class: "pair" }, h("div", {}, h("h4", {}, "Hottest keys"), hot), h("div", {}, h("h4", {}, "Some of the entries"), sample)));
  return {
    element,
    dispose: () => chart.dispose(),
    waiting() {
      element.classList.add("waiting");
      element.setAttribute("aria-busy", "true");
      say(state, "Looking …");
    },
    /** @param {string} message */
    fail(message) {
      element.classList.add("waiting");
      element.removeAttribute("aria-busy");
      say(state, message);
    },
    /** @param {any} found */
    show(found) {
      element.classList.remove("waiting");
      element.removeAttribute("aria-busy");
      const { cost, prediction } = found;
      const about = found.entriesExact === false ? "≈" : "";
      say(state, sentence(found.message));
      say(facts.entries, `${about}${count(found.entries)}`);
      say(facts.bytes, found.bytes === null ? "not weighed" : bytes(found.bytes));
      say(facts.cost, costOf(cost));
      say(facts.back, prediction ? `to 90% in ${left(prediction.secondsTo90, cost)}, 95% in ${left(prediction.secondsTo95, cost)}` : "not measured yet");
      say(facts.peak, rate(prediction?.peakLoadsPerSecond));
      const machines = found.members?.length ? `${plural(found.members.length, "machine")}, ` : "";
      say(facts.reach, `${found.level}: ${machines}${plural(found.processes ?? 1, "process", "processes")}`);
      const curve = prediction?.curve ?? [];
      const xs = curve.map((/** @type {any} */ point) => point.seconds);
      chart.set(xs, [curve.map((/** @type {any} */ point) => point.hitRate), xs.map(() => prediction.hitRateBefore)], telling(xs, prediction));
      say(basis, prediction ? `${sentence(`${prediction.confidence} confidence`)} ${sentence(prediction.basis)}` : sentence(`nothing can be predicted yet: ${found.basis}`));
      hot.replaceChildren(hotKeys(found.hottest?.slice(0, 5)));
      sample.replaceChildren(...(found.items.length ? found.items.slice(0, 5).map((/** @type {string} */ key) => h("li", {}, h("code", { title: key }, key))) : [h("li", { class: "hint" }, "None.")]));
    },
  };
}

/** @param {any} cost @returns {string} */
function costOf(cost) {
  if (!cost || cost.reloadSeconds === null) return "not known yet";
  const loads = cost.reloads === null ? "" : `${count(cost.reloads)} loads, `;
  return `${loads}${seconds(cost.reloadSeconds)} of load time in ${seconds(cost.horizonSeconds)}${BORNE[cost.callersWait] ?? ""}`;
}

/** @param {number | null | undefined} time @param {any} cost @returns {string} */
function left(time, cost) {
  return time === null || time === undefined ? `more than ${seconds(cost?.horizonSeconds)}` : seconds(time);
}

/** History: the charts of one cache, or of all together. */

import { get } from "./api.js";
import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { millis, percent, rate } from "./format.js";

const REFRESH = 10000;
/** @type {Record<string, number>} */
const SPANS = { "10m": 600, "24h": 86400 };

/** @type {(import("./chart.js").Plan & {series: string[]})[]} */
const PLANS = [
  { title: "Hit rate", series: ["hitRate"], write: percent, high: 100, lines: [{ label: "hits", colour: 1, fill: true }] },
  { title: "Reads and loads", series: ["readsPerSecond", "loadsPerSecond", "loadFailuresPerSecond"], write: rate, lines: [{ label: "reads", colour: 1 }, { label: "loads", colour: 2 }, { label: "failed loads", colour: 3 }] },
  { title: "Load time", series: ["loadP50Ms", "loadP95Ms", "loadP99Ms"], write: millis, lines: [{ label: "p50", colour: 1 }, { label: "p95", colour: 2 }, { label: "p99", colour: 3 }] },
  { title: "Coalesced and stale", series: ["coalescedPerSecond", "staleServedPerSecond"], write: rate, lines: [{ label: "coalesced", colour: 1 }, { label: "stale served", colour: 2 }] },
];

/**
 * Make the charts.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {{service: string | null}} which Whose history.
 * @returns {{element: HTMLElement, dispose: () => void}}
 */
export function history(app, { service }) {
  const charts = PLANS.map((plan) => new Chart(plan));
  let range = "10m";
  const buttons = [["10m", "10 min"], ["24h", "24 h"]].map(([value, words]) =>
    h("button", { type: "button", "data-range": value, "aria-pressed": String(value === range), onclick: () => choose(value) }, words),
  );
  const element = h(
    "section",
    {},
    h("div", { class: "heading" }, h("h2", {}, "History"), h("div", { class: "switch", role: "group", "aria-label": "Time shown" }, buttons)),
    h("div", { class: "charts" }, charts.map((chart) => chart.element)),
  );
  let aborting = new AbortController();

  /** @param {string} value */
  function choose(value) {
    range = value;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.getAttribute("data-range") === value));
    void show();
  }

  async function show() {
    aborting.abort();
    aborting = new AbortController();
    const { signal } = aborting;
    let found;
    try {
      found = await get("cache/history", { serviceName: service, range }, signal);
    } catch (error) {
      if (!signal.aborted) app.failed(error);
      return;
    }
    const end = Date.parse(found.end) / 1000;
    const xs = Array.from({ length: found.points }, (_, place) => end - (found.points - 1 - place) * found.stepSeconds);
    for (const [place, chart] of charts.entries()) {
      chart.set(xs, PLANS[place].series.map((name) => found.series[name] ?? xs.map(() => null)), [end - SPANS[range], end]);
    }
  }

  const timer = setInterval(() => document.hidden || show(), REFRESH);
  const stop = app.listen({ again: show });
  void show();
  return {
    element,
    dispose() {
      stop();
      clearInterval(timer);
      aborting.abort();
      for (const chart of charts) chart.dispose();
    },
  };
}

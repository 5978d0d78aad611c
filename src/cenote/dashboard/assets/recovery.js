/** The recovery after a clear: the hit rate as it comes back, beside what was predicted. */

import { call, get } from "./api.js";
import { Chart, telling } from "./chart.js";
import { h, say } from "./dom.js";
import { NONE, count, percent, plural, rate, seconds, title } from "./format.js";

const EVERY = 2000;
const EVERY_SUM = 5000;
const WATCHED = 580;

/**
 * Watch a recovery.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {any} clear The clear.
 * @param {"h2" | "h3"} level What its heading is.
 * @param {any} preview What was expected, where that is known here.
 * @returns {{element: HTMLElement, dispose: () => void}}
 */
export function recovery(app, clear, level, preview) {
  const chart = new Chart({ title: "Hit rate since the clear", write: percent, high: 100, elapsed: true, joined: true, lines: [{ label: "actual", colour: 1 }, { label: "predicted", colour: 2, dash: true }, { label: "before", colour: 4 }] });
  const state = h("p", { class: "hint", role: "status" }, "Watching …");
  const body = h("tbody");
  const table = h("table", { class: "compare" }, h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, "predicted"), h("th", { scope: "col" }, "actual"))), body);
  const gate = h("button", { type: "button", hidden: true, onclick: open }, "Stop pacing the refill");
  const element = h("section", { class: "recovery" }, h(level, {}, "Recovery"), state, chart.element, table, gate);
  const aborting = new AbortController();
  let timer = 0;
  /** Whether another process answers than the one that cleared, which alone watches closely. */
  let other = Boolean(clear.scope); // a part's own recovery is not watched

  async function look() {
    try {
      const found = other ? await summed() : await get("cache/recovery", { clearId: clear.clearId }, aborting.signal);
      found.refill ??= await refill();
      show(found);
      if (found.actual.over && found.refill?.state !== "running") return;
    } catch (error) {
      if (aborting.signal.aborted) return;
      if (/** @type {any} */ (error).status === 404 && !other) {
        other = true;
        void look();
        return;
      }
    }
    timer = setTimeout(look, other ? EVERY_SUM : EVERY);
  }

  /** @returns {Promise<any>} A recovery told from the history, which is of all processes, in coarser steps. */
  async function summed() {
    const { prediction = null, cost = null } = preview ?? {};
    const found = await get("cache/history", clear.all ? { all: true } : { serviceName: clear.serviceName }, aborting.signal);
    const begun = Date.parse(clear.endedAt ?? clear.timestamp) / 1000;
    const first = Date.parse(found.end) / 1000 - (found.points - 1) * found.stepSeconds - begun;
    const points = found.series.hitRate.map((/** @type {any} */ hitRate, /** @type {number} */ place) => ({ seconds: first + place * found.stepSeconds, hitRate }));
    const curve = points.filter((/** @type {any} */ point) => point.seconds > 0);
    const known = points.findLast((/** @type {any} */ point) => point.seconds <= 0 && point.hitRate !== null);
    const before = prediction?.hitRateBefore ?? known?.hitRate ?? null;
    const back = (/** @type {number} */ part) => curve.find((/** @type {any} */ point) => before !== null && point.hitRate !== null && point.hitRate >= part * before)?.seconds ?? null;
    const passed = Math.max(0, Date.now() / 1000 - begun);
    const actual = { seconds: passed, curve, reloadSeconds: null, reloads: null, secondsTo90: back(0.9), secondsTo95: back(0.95), over: passed > WATCHED };
    return { hitRateBefore: before, predicted: prediction, predictedReloadSeconds: cost?.reloadSeconds, predictedReloads: cost?.reloads, actual };
  }

  /** @returns {Promise<any>} The refill behind this clear, which the rows of its caches tell of, summed up; null where there is none. */
  async function refill() {
    const asked = clear.all ? { limit: 500 } : { names: clear.serviceName ?? "" };
    const { caches } = await get("cache/overview", { ...asked, sparklines: false }, aborting.signal);
    const found = caches.map((/** @type {any} */ row) => row.refill).filter((/** @type {any} */ each) => each?.clearId === clear.clearId);
    if (!found.length) return null;
    const going = found.filter((/** @type {any} */ each) => each.state === "running");
    const sum = (/** @type {string} */ name) => found.reduce((/** @type {number} */ all, /** @type {any} */ each) => all + each[name], 0);
    return { state: going.length ? "running" : "over", caches: going.length, ratePerSecond: found[0].ratePerSecond, admitted: sum("admitted"), waiting: sum("waiting"), hottest: sum("hottest"), hottestBack: sum("hottestBack") };
  }

  /** @param {any} refill @returns {string} What is said of a refill. */
  function paced(refill) {
    if (!refill) return "";
    if (refill.state !== "running") return " The paced refill is over.";
    const each = clear.all ? ` each in ${plural(refill.caches, "cache")}` : "";
    return ` Refilling at ${rate(refill.ratePerSecond)}${each}: ${count(refill.admitted)} let through, ${count(refill.waiting)} wait, ${count(refill.hottestBack)} of the ${count(refill.hottest)} hottest are back.`;
  }

  /** @param {any} found */
  function show(found) {
    const { actual, predicted, hitRateBefore } = found;
    const lines = [actual.curve, predicted?.curve ?? []].map((curve) => new Map(curve.map((/** @type {any} */ point) => [point.seconds, point.hitRate])));
    const latest = actual.seconds;
    const xs = [...new Set([...lines[0].keys(), ...lines[1].keys()])].sort((a, b) => a - b);
    chart.set(xs, [...lines.map((line) => xs.map((x) => line.get(x) ?? null)), xs.map(() => hitRateBefore)], telling(xs, predicted, latest));
    const rows = [
      ["Hit rate 90% back", told(predicted, predicted?.secondsTo90), told(actual, actual.secondsTo90, "not yet")],
      ["Hit rate 95% back", told(predicted, predicted?.secondsTo95), told(actual, actual.secondsTo95, "not yet")],
      ["Load time paid", seconds(found.predictedReloadSeconds), seconds(actual.reloadSeconds)],
      ["Loads", found.predictedReloads === null || found.predictedReloads === undefined ? NONE : count(Math.round(found.predictedReloads)), count(actual.reloads)],
      ...(clear.mode === "soft" ? [["Stale values served", NONE, count(actual.staleServed)]] : []),
    ];
    body.replaceChildren(...rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell)))));
    const refill = found.refill;
    say(state, `${actual.over ? "Watched for" : "Watching for"} ${seconds(latest)}; the hit rate was ${percent(hitRateBefore)} before.${paced(refill)}`);
    gate.hidden = refill?.state !== "running" || app.session.role !== "operator";
  }

  async function open() {
    gate.disabled = true;
    try {
      await call("DELETE", "cache/refill", { query: clear.all ? { all: true } : { serviceName: clear.serviceName } });
      say(state, clear.all ? "No refill is paced any more." : `The refill of the ${title(clear.serviceName)} is paced no more.`);
    } catch (error) {
      app.failed(error);
    } finally {
      gate.disabled = false;
    }
  }

  void look();
  return {
    element,
    dispose() {
      aborting.abort();
      clearTimeout(timer);
      chart.dispose();
    },
  };
}

/** @param {any} of @param {number | null | undefined} time @param {string} [otherwise] @returns {string} */
function told(of, time, otherwise = "not soon") {
  if (!of) return NONE;
  return time === null || time === undefined ? otherwise : seconds(time);
}

/**
 * Charts: lines over time, drawn by uPlot, with a legend that says the figures in words.
 *
 * @typedef {{label: string, colour: 1 | 2 | 3 | 4, dash?: boolean, fill?: boolean}} Line
 * @typedef {{title: string, lines: Line[], write: (value: number | null) => string, high?: number, floor?: number, elapsed?: boolean, joined?: boolean}} Plan
 */

import { h, say } from "./dom.js";
import { seconds } from "./format.js";

const HEIGHT = 168;
const STEPS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 21600];

/** @param {number} time Seconds. @returns {string} 80 s, 2:30 */
const passed = (time) => (time < 120 ? `${time} s` : `${Math.floor(time / 60)}:${String(time % 60).padStart(2, "0")}`);

/**
 * @param {number[]} xs Seconds since a clear.
 * @param {any} prediction What was expected, where anything was.
 * @param {number} [passed] Seconds since then.
 * @returns {[number, number]} The part of it in which something happens.
 */
export function telling(xs, prediction, passed = 0) {
  const last = xs[xs.length - 1] ?? 0;
  const back = prediction?.secondsTo95 ?? last / 3;
  return [0, Math.min(Math.max(last, 1), Math.max(30, 3 * back, 1.2 * passed))];
}

/** @param {number} moment Seconds. @returns {string} The local time. */
const clock = (moment) => new Date(moment * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

/** @type {Promise<any> | null} */
let library = null;

/** @returns {Promise<any>} uPlot, loaded when the first chart is drawn. */
function load() {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = new URL("../vendor/uplot.js", import.meta.url).href;
    script.onload = () => resolve(/** @type {any} */ (globalThis).uPlot);
    script.onerror = () => {
      library = null;
      reject(new Error("The charts could not be loaded."));
    };
    document.head.append(script);
  });
  return library;
}

/** @param {string} name A custom property. @returns {string} The colour that it stands for now. */
function colour(name) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export class Chart {
  /** @type {any} */
  #plot = null;
  /** @type {[number, number] | undefined} */
  #range;
  /** @type {(number | null)[][]} */
  #data = [[]];
  #ended = false;

  /** @param {Plan} plan What is drawn, and how its figures are written. */
  constructor(plan) {
    this.plan = plan;
    this.values = plan.lines.map(() => h("b", {}, "–"));
    this.moment = h("span", { class: "moment" });
    this.space = h("div", { class: "plot", role: "img", "aria-label": plan.title });
    const legend = plan.lines.map((line, place) =>
      h("li", { class: `c${line.colour}${line.dash ? " dashed" : ""}` }, h("span", {}, line.label), " ", this.values[place]),
    );
    this.element = h("figure", { class: "chart" }, h("figcaption", {}, h("span", {}, plan.title), this.moment), this.space, h("ul", { class: "legend" }, legend));
    this.observer = new ResizeObserver(() => this.#fit());
    this.observer.observe(this.space);
    this.redraw = () => this.#begin();
    addEventListener("theme", this.redraw);
  }

  /** End it. */
  dispose() {
    this.#ended = true;
    removeEventListener("theme", this.redraw);
    this.observer.disconnect();
    this.#plot?.destroy();
  }

  /**
   * Draw.
   *
   * @param {number[]} xs Moments in seconds.
   * @param {(number | null)[][]} lines The values of each line.
   * @param {[number, number]} [range] The first and the last moment shown; none: those that there are.
   */
  set(xs, lines, range) {
    this.#range = range;
    this.#data = [xs, ...lines];
    this.#tell(null);
    if (this.#plot) this.#plot.setData(this.#data);
    else void this.#begin();
  }

  async #begin() {
    let uPlot;
    try {
      uPlot = await load();
    } catch (error) {
      say(this.moment, /** @type {Error} */ (error).message);
      return;
    }
    if (this.#ended || this.#data[0].length === 0) return;
    this.#plot?.destroy();
    this.#plot = new uPlot(this.#options(uPlot), this.#data, this.space);
    this.#fit();
  }

  /** @param {any} uPlot */
  #options(uPlot) {
    const { lines, write, high, floor = 1, elapsed, joined } = this.plan;
    const text = colour("--muted");
    const grid = { stroke: colour("--line"), width: 1 };
    const font = "11px system-ui, sans-serif";
    const axis = { stroke: text, grid, ticks: { show: false }, font };
    return {
      width: this.space.clientWidth || 300,
      height: HEIGHT,
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: (/** @type {any} */ _, /** @type {number} */ low, /** @type {number} */ top) => this.#range ?? [low, Math.max(top, low + 1)] },
        y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ top) => [0, high ?? Math.max(top * 1.1, floor)] },
      },
      axes: [
        { ...axis, size: 26, space: 76, incrs: STEPS, values: (/** @type {any} */ _, /** @type {number[]} */ all) => all.map(elapsed ? passed : clock) },
        { ...axis, size: 58, space: 36, values: (/** @type {any} */ _, /** @type {number[]} */ all) => all.map((each) => write(each).replace(/\.0(?=\D)/, "")) },
      ],
      series: [
        {},
        ...lines.map((line) => ({
          label: line.label,
          stroke: colour(`--c${line.colour}`),
          width: 2,
          dash: line.dash ? [5, 4] : undefined,
          points: { show: (/** @type {any} */ plot, /** @type {number} */ at) => plot.data[at].filter((/** @type {any} */ each) => each !== null).length < 2 },
          fill: line.fill ? colour(`--c${line.colour}-faint`) : undefined,
          paths: uPlot.paths.linear(),
          spanGaps: joined === true,
        })),
      ],
      hooks: { setCursor: [(/** @type {any} */ plot) => this.#tell(plot.cursor.idx)] },
    };
  }

  #fit() {
    const width = this.space.clientWidth;
    if (this.#plot && width && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
  }

  /** @param {number | null | undefined} place Where the pointer is; none: the last of each line is said. */
  #tell(place) {
    const [xs, ...lines] = this.#data;
    const words = [];
    for (const [index, values] of lines.entries()) {
      const value = place === null || place === undefined ? (values.findLast((each) => each !== null) ?? null) : values[place];
      const text = this.plan.write(value ?? null);
      say(this.values[index], text);
      words.push(`${this.plan.lines[index].label} ${text}`);
    }
    const x = place === null || place === undefined ? null : xs[place];
    say(this.moment, x === null ? "" : this.plan.elapsed ? `after ${seconds(x)}` : new Date(x * 1000).toLocaleTimeString("en-GB"));
    if (x === null) this.space.setAttribute("aria-label", `${this.plan.title}. Last: ${words.join(", ")}`);
  }
}

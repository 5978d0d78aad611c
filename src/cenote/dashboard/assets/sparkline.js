/** Sparklines: a few minutes in a few pixels. They repeat what stands beside them, so they are hidden from readers. */

import { attr, svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;

/**
 * Make a sparkline.
 *
 * @param {{low?: number, high?: number}} [range] Bounds that do not follow the values.
 * @returns {{element: SVGElement, set: (values: (number | null)[] | null | undefined) => void}}
 */
export function sparkline(range = {}) {
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" });
  const element = svg(
    "svg",
    { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    area,
    line,
  );
  return {
    element,
    set(values) {
      const pieces = piecesOf(values ?? [], range);
      attr(line, "d", pieces.map((piece) => `M${piece.join("L")}`).join(""));
      attr(area, "d", pieces.map(filled).join(""));
    },
  };
}

/**
 * @param {(number | null)[]} values
 * @param {{low?: number, high?: number}} range
 * @returns {string[][]} The points of each run of known values.
 */
function piecesOf(values, range) {
  const known = values.filter((value) => value !== null);
  const low = range.low ?? Math.min(0, ...known);
  const high = range.high ?? Math.max(low + 1e-9, ...known);
  const step = WIDTH / Math.max(59, values.length - 1);
  const start = WIDTH - step * (values.length - 1);
  /** @type {string[][]} */
  const pieces = [];
  let piece = null;
  for (const [place, value] of values.entries()) {
    if (value === null) {
      piece = null;
      continue;
    }
    if (piece === null) pieces.push((piece = []));
    const y = HEIGHT - 2 - ((value - low) / (high - low || 1)) * (HEIGHT - 4);
    piece.push(`${(start + place * step).toFixed(1)} ${y.toFixed(1)}`);
  }
  return pieces.map((points) => (points.length === 1 ? [points[0], points[0].replace(/^[\d.]+/, (x) => String(+x + 1))] : points));
}

/** @param {string[]} piece @returns {string} */
function filled(piece) {
  const first = piece[0].split(" ")[0];
  const last = piece[piece.length - 1].split(" ")[0];
  return `M${first} ${HEIGHT}L${piece.join("L")}L${last} ${HEIGHT}Z`;
}

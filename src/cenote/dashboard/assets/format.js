/** Figures as people read them. A figure that is not known is a dash. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** What stands where nothing is known. */
export const NONE = "–";

/** @param {any} value @returns {value is number} */
const known = (value) => typeof value === "number" && Number.isFinite(value);

/** @param {number | null | undefined} value @returns {string} 12,345 */
export const count = (value) => (known(value) ? whole.format(value) : NONE);

/** @param {number | null | undefined} value @returns {string} 12.3K */
export const compact = (value) => (known(value) ? short.format(value) : NONE);

/** @param {number | null | undefined} value Percent. @returns {string} 95.1% */
export const percent = (value) => (known(value) ? `${value >= 99.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)}%` : NONE);

/** @param {number | null | undefined} value @returns {string} 3.2/s */
export function rate(value) {
  if (!known(value)) return NONE;
  return `${value === 0 ? "0" : value < 10 ? value.toFixed(1) : compact(value)}/s`;
}

/** @param {number | null | undefined} value @returns {string} 3.2 MB */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let left = value;
  while (left >= 999.5 && unit < units.length - 1) {
    left /= 1000;
    unit += 1;
  }
  return `${unit && left < 99.95 ? left.toFixed(1) : left.toFixed(0)} ${units[unit]}`;
}

/** @param {number | null | undefined} value Seconds. @returns {string} 250 ms, 3.2 s, 4 min, 2.5 h, 3 d */
export function seconds(value) {
  if (!known(value)) return NONE;
  const size = Math.abs(value);
  if (size === 0) return "0 s";
  if (size < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (size < 0.9995) return `${(value * 1000).toFixed(size < 0.01 ? 1 : 0)} ms`;
  if (size < 9.95) return `${value.toFixed(1)} s`;
  if (size < 120) return `${value.toFixed(0)} s`;
  if (size < 7200) return `${(value / 60).toFixed(0)} min`;
  if (size < 172800) return `${(value / 3600).toFixed(1)} h`;
  return `${(value / 86400).toFixed(0)} d`;
}

/** @param {number | null | undefined} value Milliseconds. @returns {string} As `seconds` writes it. */
export const millis = (value) => (known(value) ? seconds(value / 1000) : NONE);

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** @param {string | null | undefined} moment @returns {string} The local time; with the day, where that is another one. */
export function when(moment) {
  if (!moment) return NONE;
  const date = new Date(moment);
  const today = date.toDateString() === new Date().toDateString();
  return today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

/** @param {number} number @param {string} one @param {string} [many] @returns {string} 1 entry, 2 entries */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** @param {string} text @returns {string} The same, beginning with a capital and ending with a stop. */
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;

/** @param {string | null | undefined} service @returns {string} What a cache is called. */
export const title = (service) => (service === null || service === undefined ? "global cache" : service);

/**
 * Routes: what stands behind the # of the address, and the view that shows it.
 *
 * @typedef {{view: string, service?: string | null, clearId?: string}} Route
 */

/** @param {string} hash @returns {Route} */
export function parse(hash) {
  const [, view, ...rest] = hash.replace(/^#/, "").split("/");
  const last = decode(rest.join("/"));
  if (view === "service" && last) return { view, service: last };
  if (view === "global") return { view: "service", service: null };
  if (view === "clear" && last) return { view, clearId: last };
  if (view === "audit") return { view };
  return { view: "overview" };
}

/** @param {string} text @returns {string} */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @param {string | null | undefined} service @returns {string} Where a cache is shown. */
export const placeOf = (service) =>
  service === null || service === undefined ? "#/global" : `#/service/${encodeURIComponent(service)}`;

/** @param {string} clearId @returns {string} Where a clear is shown. */
export const placeOfClear = (clearId) => `#/clear/${encodeURIComponent(clearId)}`;

/** @param {(route: Route) => void} show Called now and whenever the address changes. */
export function route(show) {
  addEventListener("hashchange", () => show(parse(location.hash)));
  show(parse(location.hash));
}

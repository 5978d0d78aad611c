/** The public HTTP API: the only thing this page knows of Cenote. */

const meta = /** @type {HTMLMetaElement | null} */ (document.querySelector('meta[name="cenote-root"]'));

/** Where `api/` is: relative to the page, so it may be mounted anywhere. */
const ROOT = new URL(meta?.content || "./", document.baseURI);

/** A request that was refused or not answered. */
export class ApiError extends Error {
  /**
   * @param {number} status The HTTP status; 0: no answer came.
   * @param {string} message A sentence for people.
   * @param {any} body The answer, where it was JSON.
   */
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/**
 * Make the address of a route.
 *
 * @param {string} path Below `api/system/`.
 * @param {Record<string, any>} [query] Parameters; those that are null or undefined are left out.
 * @returns {string} The address.
 */
export function address(path, query = {}) {
  const url = new URL(`api/system/${path}`, ROOT);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
  }
  return url.href;
}

/** @type {() => void} What to do when a session is over. */
let whenSignedOut = () => {};

/** @param {() => void} listener Called when a request finds the session over. */
export function onSignedOut(listener) {
  whenSignedOut = listener;
}

/**
 * Send a request and read its JSON.
 *
 * @param {string} method The HTTP method.
 * @param {string} path Below `api/system/`.
 * @param {{query?: Record<string, any>, body?: any, signal?: AbortSignal}} [options] What to send.
 * @returns {Promise<any>} The answer.
 */
export async function call(method, path, { query, body, signal } = {}) {
  /** @type {RequestInit} */
  const request = { method, signal, credentials: "same-origin", cache: "no-store", headers: {} };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { "Content-Type": "application/json" };
  }
  let answer;
  let content;
  try {
    answer = await fetch(address(path, query), request);
    content = await answer.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(answer?.status ?? 0, "The server did not answer.");
  }
  if (answer.ok) return content;
  if (answer.status === 401 && path !== "session") whenSignedOut();
  throw new ApiError(answer.status, sentence(content, answer.status), content);
}

/** @param {any} content @param {number} status @returns {string} */
function sentence(content, status) {
  if (Array.isArray(content?.detail)) {
    return content.detail.map((/** @type {any} */ each) => `${each.loc?.at(-1)}: ${each.msg}`).join("; ");
  }
  return content?.detail ?? content?.message ?? `The server answered ${status}.`;
}

/** @param {string} path @param {Record<string, any>} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
export const get = (path, query, signal) => call("GET", path, { query, signal });

/** @param {string} path @param {any} body @param {AbortSignal} [signal] @returns {Promise<any>} */
export const post = (path, body, signal) => call("POST", path, { body, signal });

/**
 * Elements: built from text and attributes, never from markup, so that no key or name of a cache becomes HTML.
 *
 * @typedef {Node | string | number | null | undefined | false} Child
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param {string} tag Its name.
 * @param {Record<string, any>} [props] `class`, `on…` listeners, properties that are booleans, and attributes.
 * @param {...(Child | Child[])} children Text and elements.
 * @returns {any} The element.
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/**
 * Make an SVG element.
 *
 * @param {string} tag Its name.
 * @param {Record<string, any>} [props] Attributes.
 * @param {...Child} children Elements.
 * @returns {any} The element.
 */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** @param {Element} element @param {Record<string, any>} props @param {any[]} children */
function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") /** @type {any} */ (element).value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * Change an element's text, if it is another one.
 *
 * @param {Element} element The element.
 * @param {string} text The text.
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Set or remove an attribute.
 *
 * @param {Element} element The element.
 * @param {string} name The attribute.
 * @param {string | null} value Null removes it.
 */
export function attr(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/**
 * Call a function when its calls have paused.
 *
 * @param {number} ms How long the pause is.
 * @param {() => void} work The function.
 * @returns {(() => void) & {cancel: () => void}} What to call instead.
 */
export function paused(ms, work) {
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(work, ms);
  };
  return Object.assign(later, { cancel: () => clearTimeout(timer) });
}

let names = 0;

/** @param {string} stem @returns {string} An id that no other element has. */
export function unique(stem) {
  names += 1;
  return `${stem}-${names}`;
}

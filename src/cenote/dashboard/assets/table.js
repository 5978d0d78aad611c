/** Tables of any length: only the rows in sight are elements. The window scrolls, not a box within it. */

const MORE = 6;

/**
 * @typedef {{element: HTMLElement, update: (index: number) => void}} Row
 */

export class VirtualRows {
  /** @type {Map<number, Row>} */
  #rows = new Map();
  #count = 0;
  #due = 0;
  #height = 0;

  /**
   * @param {HTMLElement} body Where the rows go; its custom property `--row` is their height.
   * @param {() => Row} make Makes a row, to be filled by its `update`.
   */
  constructor(body, make) {
    this.body = body;
    this.make = make;
    this.later = () => {
      if (!this.#due) this.#due = requestAnimationFrame(() => this.render());
    };
    addEventListener("scroll", this.later, { passive: true });
    addEventListener("resize", this.later, { passive: true });
  }

  /** Stop listening. */
  dispose() {
    removeEventListener("scroll", this.later);
    removeEventListener("resize", this.later);
    cancelAnimationFrame(this.#due);
  }

  /** @param {number} count How many rows there are in all. */
  setCount(count) {
    this.#count = count;
    this.render();
  }

  /** @returns {[number, number]} The rows in sight: the first, and the one after the last. */
  range() {
    const top = -this.body.getBoundingClientRect().top;
    const first = Math.floor(top / this.#height) - MORE;
    const last = Math.ceil((top + innerHeight) / this.#height) + MORE;
    return [Math.max(0, Math.min(first, this.#count)), Math.max(0, Math.min(last, this.#count))];
  }

  /** Make, fill, place and remove rows, so that those in sight are right. */
  render() {
    cancelAnimationFrame(this.#due);
    this.#due = 0;
    this.#height = parseFloat(getComputedStyle(this.body).getPropertyValue("--row")) || 44;
    this.body.style.height = `${this.#count * this.#height}px`;
    const [first, last] = this.range();
    for (const [index, row] of this.#rows) {
      // A row that has the focus stays, or the keyboard would lose its place.
      const kept = index < this.#count && row.element.contains(document.activeElement);
      if ((index < first || index >= last) && !kept) {
        row.element.remove();
        this.#rows.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) this.#place(index);
  }

  /** @param {number} index */
  #place(index) {
    let row = this.#rows.get(index);
    if (!row) {
      row = this.make();
      this.#rows.set(index, row);
      // In the order of the rows, which is the order of the Tab key.
      const next = [...this.#rows.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
      this.body.insertBefore(row.element, next === undefined ? null : (this.#rows.get(next)?.element ?? null));
    }
    row.element.style.transform = `translateY(${index * this.#height}px)`;
    row.element.setAttribute("aria-rowindex", String(index + 2));
    row.update(index);
  }
}

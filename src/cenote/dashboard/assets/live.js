/**
 * What happens now: server-sent events, taken up again where they broke off.
 *
 * The state is `live`, `reconnecting` (the server does not answer), or `polling` (it answers, but has no stream left).
 * Events of the stream are dispatched under their own names, with their JSON as `detail`; `state` when that changes,
 * and `again` when events may have been missed.
 */

import { address, get } from "./api.js";

const EVENTS = [
  "overview", "clear-begun", "clear-acknowledged", "clear-lapsed", "clear-done", "refill", "invalidated", "switched",
];
const LONGEST_WAIT = 4000;
const POLL = 2000;
const TRY_STREAM_AGAIN = 15000;
const SILENCE = 20000;
const PROBE = 5000;

export class Live extends EventTarget {
  /** @type {"off" | "connecting" | "live" | "reconnecting" | "polling"} */
  state = "off";
  /** @type {EventSource | null} */
  #source = null;
  #last = "";
  #failures = 0;
  #timer = 0;
  #watchdog = 0;
  #polledSince = 0;
  /** @type {string | null} */
  #timestamp = null;

  /** Begin, or begin anew. */
  start() {
    this.stop();
    this.#set("connecting");
    this.#open();
  }

  /** End. */
  stop() {
    this.#close();
    clearTimeout(this.#timer);
    this.#failures = 0;
    this.#set("off");
  }

  #close() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#watchdog);
  }

  #open() {
    this.#close();
    const source = new EventSource(address("cache/live", { lastEventId: this.#last || null }));
    this.#source = source;
    source.addEventListener("open", () => {
      const again = this.state === "reconnecting" || this.state === "polling";
      this.#failures = 0;
      this.#set("live");
      this.#watch();
      if (again) this.dispatchEvent(new Event("again"));
    });
    source.addEventListener("error", () => {
      if (source === this.#source) this.#lost();
    });
    source.addEventListener("reset", (event) => {
      this.#note(event);
      this.dispatchEvent(new Event("again"));
    });
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        this.#note(event);
        this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(/** @type {MessageEvent} */ (event).data) }));
      });
    }
  }

  /** @param {Event} event */
  #note(event) {
    this.#last = /** @type {MessageEvent} */ (event).lastEventId || this.#last;
    this.#watch();
  }

  /** A connection that died without a word is told from one that has nothing to say by asking. */
  #watch() {
    clearTimeout(this.#watchdog);
    this.#watchdog = setTimeout(async () => {
      if (await this.#answers()) this.#watch();
      else this.#lost();
    }, SILENCE);
  }

  async #answers() {
    try {
      const session = await get("session", {}, AbortSignal.timeout(PROBE));
      if (session.required && !session.role) this.dispatchEvent(new Event("signedout"));
      return true;
    } catch {
      return false;
    }
  }

  async #lost() {
    this.#close();
    const before = this.state;
    this.#failures += 1;
    const reachable = await this.#answers();
    if (this.state === "off" || this.#source) return;
    if (reachable && this.#failures > 1) {
      this.#polledSince = Date.now();
      this.#set("polling");
      this.#poll();
      return;
    }
    if (!reachable) this.#set("reconnecting");
    // A stream that ended as planned is opened again at once, and nobody sees it.
    const wait = reachable && before === "live" ? 50 : Math.min(250 * 2 ** this.#failures, LONGEST_WAIT);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  async #poll() {
    try {
      const all = await get("cache/overview", { sparklines: false, limit: 500, sort: "recentReads" });
      if (this.state !== "polling") return;
      if (all.timestamp !== this.#timestamp) {
        this.#timestamp = all.timestamp;
        this.dispatchEvent(new CustomEvent("overview", { detail: { ...all, full: false } }));
      }
    } catch {
      if (this.state !== "polling") return;
      this.#set("reconnecting");
    }
    clearTimeout(this.#timer);
    if (this.state === "reconnecting" || Date.now() - this.#polledSince > TRY_STREAM_AGAIN) {
      this.#timer = setTimeout(() => this.#open(), 500);
    } else {
      this.#timer = setTimeout(() => this.#poll(), POLL);
    }
  }

  /** @param {Live["state"]} state */
  #set(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

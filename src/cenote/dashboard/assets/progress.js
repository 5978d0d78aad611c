/** Progress: who has acknowledged a clear while it runs. */

import { get } from "./api.js";
import { h, say } from "./dom.js";
import { millis, plural } from "./format.js";

/** After how many milliseconds without news the list of clears is asked, and how often. */
const SILENCE = 1000;

/** @param {any} member @returns {string} */
export const nameOf = (member) => member.name ?? `process ${member.pid}`;

/** @param {any} member @returns {[string, string]} A class, and words. */
function stateOf(member) {
  const after = member.afterMs === null || member.afterMs === undefined ? "" : ` after ${millis(member.afterMs)}`;
  if (member.acknowledged) return ["fresh", `acknowledged${after}`];
  return member.lapsed ? ["stale", `its lease has ended${after}`] : ["waiting", "not yet"];
}

/**
 * Make the list of members.
 *
 * @param {any[]} members As the API has them.
 * @returns {HTMLElement}
 */
export function memberList(members) {
  return h("ul", { class: "members" }, members.map((member) => {
    const [kind, words] = stateOf(member);
    return h("li", {}, h("span", {}, nameOf(member)), h("span", { class: `state ${kind}` }, words));
  }));
}

/**
 * Show a clear that runs.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {string} clearId Its receipt.
 * @param {string} what What is cleared.
 * @param {any[]} expected The members that the preview knew: the events tell of each only when it has acknowledged.
 */
export function makeProgress(app, clearId, what, expected) {
  const list = h("div");
  const bar = h("progress", { "aria-label": "Members that have acknowledged" });
  const words = h("p", { role: "status" }, `Clearing ${what} …`);
  const element = h("section", { class: "progress", "data-clear": clearId }, words, bar, list);
  /** @type {Map<string, any>} */
  const members = new Map();

  /** @param {any[]} news */
  function take(news) {
    for (const member of news) members.set(nameOf(member), { ...members.get(nameOf(member)), ...member });
    const all = [...members.values()];
    const done = all.filter((member) => member.acknowledged || member.lapsed).length;
    if (all.length) {
      bar.max = all.length;
      bar.value = done;
      say(words, `Clearing ${what}: ${done} of ${plural(all.length, "member")}`);
    }
    list.replaceChildren(memberList(all));
  }

  let timer = 0;
  const aborting = new AbortController();

  /** The events are those of the process that the stream comes from, and there may be no stream: ask then. */
  function wait() {
    clearTimeout(timer);
    if (!aborting.signal.aborted) timer = setTimeout(ask, SILENCE);
  }

  async function ask() {
    try {
      // Not by its own address: a process that was not asked for it would answer that there is none.
      const { clears } = await get("cache/clears", { limit: 20 }, aborting.signal);
      take(clears.find((/** @type {any} */ clear) => clear.clearId === clearId)?.members ?? []);
    } catch {
      // The answer to the clear itself says what is wrong.
    }
    wait();
  }

  const mine = (/** @type {(detail: any) => void} */ work) => (/** @type {any} */ { detail }) => {
    if (detail.clearId !== clearId) return;
    work(detail);
    wait();
  };
  const stop = app.listen({
    "clear-begun": mine((clear) => take(clear.members ?? [])),
    "clear-acknowledged": mine((event) => take([event.member])),
    "clear-lapsed": mine((event) => take([event.member])),
  });
  take(expected);
  wait();
  return {
    element,
    dispose() {
      stop();
      aborting.abort();
      clearTimeout(timer);
    },
  };
}

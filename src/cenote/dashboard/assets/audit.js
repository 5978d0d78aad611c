/** The audit trail: what was cleared, by whom, how much and why. */

import { get } from "./api.js";
import { h, paused, say } from "./dom.js";
import { NONE, count, millis, plural, title, when } from "./format.js";
import { placeOf, placeOfClear } from "./router.js";

const FIRST = 100;
const MOST = 1000;
const HOUR = 3600;
const WORDS = { clear: "clear", clear_all: "clear everything", invalidate: "invalidate", switch: "switch" };

/**
 * Show the trail.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {HTMLElement} main Where to show it.
 * @returns {() => void} Ends it.
 */
export function audit(app, main) {
  let limit = FIRST;
  const soon = paused(250, () => show());
  const text = h("input", { type: "search", id: "audit-text", placeholder: "Reason, actor, key, receipt", autocomplete: "off", oninput: soon });
  const service = h("input", { type: "search", id: "audit-service", placeholder: "Service", autocomplete: "off", spellcheck: "false", oninput: soon });
  const kind = h("select", { id: "audit-kind", onchange: soon }, h("option", { value: "" }, "Every action"), Object.entries(WORDS).map(([value, words]) => h("option", { value }, words)));
  const outcome = h("select", { id: "audit-status", onchange: soon }, [["", "Any outcome"], ["success", "success"], ["error", "error"]].map(([value, words]) => h("option", { value }, words)));
  const since = h("select", { id: "audit-since", onchange: soon }, [["", "All time"], [HOUR, "Last hour"], [24 * HOUR, "Last day"], [168 * HOUR, "Last week"]].map(([value, words]) => h("option", { value }, words)));
  const body = h("tbody");
  const found = h("output", { class: "found" }, "\u00a0");
  const more = h("button", { type: "button", hidden: true, onclick: () => { limit = MOST; void show(); } }, "Show more");
  /** @type {[string, HTMLElement][]} */
  const fields = [["Text", text], ["Service", service], ["Action", kind], ["Outcome", outcome], ["Time", since]];
  main.append(
    h("h1", { tabindex: -1 }, "Audit trail"),
    h("div", { class: "toolbar" }, fields.flatMap(([words, field]) => [h("label", { class: "unseen", for: field.id }, words), field]), found),
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Events" }, h("table", { class: "list audit" }, h("thead", {}, h("tr", {}, ["Time", "Action", "Cache", "Entries", "Reach", "By", "Took", "What and why"].map((each) => h("th", { scope: "col" }, each)))), body)),
    more,
  );
  let aborting = new AbortController();

  async function show() {
    aborting.abort();
    aborting = new AbortController();
    const { signal } = aborting;
    const begin = since.value ? new Date(Date.now() - 1000 * Number(since.value)).toISOString() : null;
    let answer;
    try {
      answer = await get(
        "cache/events",
        { text: text.value.trim() || null, service: service.value.trim() || null, kind: kind.value || null, status: outcome.value || null, since: begin, order: "desc", limit },
        signal,
      );
    } catch (error) {
      if (!signal.aborted) app.failed(error);
      return;
    }
    body.replaceChildren(...answer.events.map(line));
    more.hidden = answer.events.length < limit || limit === MOST;
    say(found, answer.events.length ? plural(answer.events.length, "event") : "Nothing like this.");
  }

  const stop = app.listen({ "clear-done": soon, invalidated: soon, switched: soon, again: soon });
  void show();
  return () => {
    stop();
    soon.cancel();
    aborting.abort();
  };
}

/** @param {any} event @returns {HTMLElement} */
function line(event) {
  const everything = event.action === "clear_all" || (event.action === "switch" && event.serviceName === null);
  const what = h("td", { class: "what" }, h("span", {}, event.message));
  if (event.key) what.append(h("code", {}, event.key));
  if (event.reason) what.append(h("q", {}, event.reason));
  if (event.clearId) what.append(h("a", { href: placeOfClear(event.clearId), "aria-label": `Receipt ${event.clearId}` }, "Receipt"));
  return h(
    "tr",
    {},
    h("td", {}, h("time", { datetime: event.timestamp }, when(event.timestamp))),
    h("td", {}, h("span", { class: `state ${event.status}` }, `${event.mode === "soft" ? "soft " : ""}${WORDS[event.action] ?? event.action}`)),
    h("td", {}, everything ? "everything" : h("a", { href: placeOf(event.serviceName) }, title(event.serviceName))),
    h("td", { class: "number" }, count(event.entries)),
    h("td", {}, event.level ?? NONE),
    h("td", {}, event.actor ?? NONE),
    h("td", { class: "number" }, millis(event.durationMs)),
    what,
  );
}

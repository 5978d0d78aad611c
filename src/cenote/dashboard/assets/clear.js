/** The clear dialog: what it would take first, then the clear, its receipt, and the recovery. */

import { ApiError, get, post } from "./api.js";
import { openDialog } from "./dialog.js";
import { h, paused, say, unique } from "./dom.js";
import { plural, title } from "./format.js";
import { makePreview } from "./preview.js";
import { makeProgress } from "./progress.js";
import { receipt } from "./receipt.js";

const SAMPLE = 12;

/** @returns {string} A receipt's number, chosen here so that its events are known before the answer comes. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Open the dialog.
 *
 * @param {import("./app.js").App} app What all views share.
 * @param {{service?: string | null, all?: boolean}} target Which cache, or everything.
 */
export function openClear(app, { service = null, all = false }) {
  const what = all ? "everything" : title(service);
  const word = all ? "everything" : (service ?? "global");
  const fields = makeFields(all, () => change());
  const preview = makePreview();
  const confirm = h("input", { id: unique("confirm"), autocomplete: "off", spellcheck: "false", oninput: () => judge() });
  const asked = h("div", { class: "confirm" }, h("label", { for: confirm.id }, "Type ", h("b", {}, word), " to confirm"), confirm);
  const button = h("button", { class: "danger", disabled: true }, "Clear");
  const wrong = h("p", { class: "error", role: "alert" });
  const form = h(
    "form",
    { class: "clearing", onsubmit: send },
    h("div", { class: "sides" }, h("div", {}, fields.element), preview.element),
    wrong,
    h("footer", {}, asked, h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), button)),
  );
  let aborting = new AbortController();
  let ready = false;
  /** @type {any[]} */
  let members = [];
  /** @type {any} */
  let seen = null;
  /** @type {() => void} */
  let end = () => {};
  const dialog = openDialog(`Clear ${what}`, [form], {
    wide: true,
    closed: () => {
      aborting.abort();
      look.cancel();
      preview.dispose();
      end();
    },
  });
  const look = paused(250, ask);

  /** @returns {any} What both preview and clear are asked for. */
  function request() {
    const chosen = fields.chosen();
    return all ? chosen : { serviceName: service, ...chosen };
  }

  function change() {
    ready = false;
    aborting.abort();
    preview.waiting();
    asked.hidden = !fields.whole();
    say(wrong, "");
    judge();
    look();
  }

  /** Nothing is cleared whose preview was not seen, and no whole cache whose name was not typed. */
  function judge() {
    button.disabled = !ready || (fields.whole() && confirm.value.trim() !== word);
  }

  async function ask() {
    aborting.abort();
    aborting = new AbortController();
    const { signal } = aborting;
    const problem = fields.problem();
    if (problem) {
      preview.fail(problem);
      return;
    }
    try {
      const found = await post("cache/clear/preview", { ...request(), all, maxItems: SAMPLE }, signal);
      preview.show(found);
      seen = found;
      members = found.members.map((/** @type {any} */ each) => ({ ...each, acknowledged: false, lapsed: false }));
      const entries = amount(found);
      say(button, fields.soft() ? `Mark ${entries} stale` : `Clear ${entries}`);
      ready = true;
      judge();
    } catch (error) {
      if (!signal.aborted) preview.fail(/** @type {Error} */ (error).message);
    }
  }

  /** @param {SubmitEvent} event */
  async function send(event) {
    event.preventDefault();
    if (button.disabled) return;
    const clearId = newId();
    const body = { ...request(), reason: fields.reason() || null, clearId, maxItems: 0 };
    const progress = makeProgress(app, clearId, what, members);
    form.replaceWith(progress.element);
    dialog.focus();
    end = progress.dispose;
    let clear;
    try {
      clear = read(await post(all ? "performance/clear-cache" : "cache/clear", body), body, clearId);
    } catch (error) {
      const refused = /** @type {ApiError} */ (error);
      if (refused.status === 503 && refused.body?.level !== undefined) clear = read(refused.body, body, clearId);
      else {
        progress.dispose();
        progress.element.replaceWith(form);
        say(wrong, refused.status ? refused.message : "No answer came. Whether it was cleared is not known: see the audit trail, or clear it again.");
        return;
      }
    }
    try {
      // It says of each member when it acknowledged, which the answer does not.
      const known = await get(`cache/clears/${clearId}`);
      clear = { ...clear, ...known, members: known.members?.length ? known.members : clear.members };
    } catch {
      // Another process may have answered, which knows nothing of it.
    }
    progress.dispose();
    const shown = receipt(app, clear, { preview: seen });
    end = shown.dispose;
    progress.element.replaceWith(shown.element, h("footer", {}, h("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Done")));
    shown.focus();
  }

  change();
}

/** @param {any} found A preview. @returns {string} How many entries, as far as that is known. */
function amount({ entries, entriesExact }) {
  if (entriesExact !== false) return plural(entries, "entry", "entries");
  return entries ? `about ${plural(entries, "entry", "entries")}` : "what is covered";
}

/** @param {any} answer @param {any} body @param {string} clearId @returns {any} The answer to a clear, as the list of clears has it. */
function read(answer, body, clearId) {
  return {
    ...answer,
    clearId: answer.clearId ?? clearId,
    serviceName: body.serviceName ?? null,
    all: !("serviceName" in body),
    mode: body.mode,
    state: answer.status === "success" ? "done" : "failed",
    entries: answer.entriesCleared,
    endedAt: answer.timestamp,
    reason: body.reason,
  };
}

/** @param {boolean} all @param {() => void} change */
function makeFields(all, change) {
  const group = unique("group");
  /** @param {string} name @param {string} value @param {string} words @param {string} hint @param {boolean} [checked] */
  const choice = (name, value, words, hint, checked = false) =>
    h("label", { class: "choice" }, h("input", { type: "radio", name: `${name}-${group}`, value, checked, onchange: update }), h("span", {}, h("b", {}, words), h("span", { class: "hint" }, hint)));
  const parts = [
    choice("part", "whole", "The whole cache", "every entry of it", true),
    choice("part", "tags", "Tags", "entries that carry one of these"),
    choice("part", "prefix", "Prefix", "entries whose key begins so"),
  ];
  const text = h("input", { id: unique("part"), autocomplete: "off", spellcheck: "false", disabled: true, oninput: change });
  const label = h("label", { for: text.id }, "Tags or prefix");
  const ways = [
    choice("mode", "hard", "Hard", "nothing older is served from then on", true),
    choice("mode", "soft", "Soft", "all turn stale; each may be served while one caller reloads it"),
  ];
  const paced = h("input", { type: "checkbox", id: unique("paced"), onchange: update });
  const speed = h("input", { type: "number", id: unique("speed"), min: 0.1, max: 100000, step: "any", value: 50, disabled: true, oninput: change });
  const pacing = h("div", { class: "pacing" },
    h("label", { class: "choice", for: paced.id }, paced, h("span", {}, h("b", {}, "Refill at a pace"), h("span", { class: "hint" }, `${all ? "each cache's reloads" : "reloads"} are let through at this rate, the hottest keys first`))),
    h("label", { for: speed.id, class: "unit" }, speed, " loads per second"));
  const reason = h("input", { id: unique("reason"), maxlength: 1000, autocomplete: "off" });
  const element = h("div", { class: "fields" },
    !all && h("fieldset", {}, h("legend", {}, "What"), parts, h("div", { class: "part" }, label, text)),
    h("fieldset", {}, h("legend", {}, "How"), ways, pacing),
    h("div", { class: "reason" }, h("label", { for: reason.id }, "Reason, for the audit trail"), reason));

  /** @param {string} name */
  const picked = (name) => element.querySelector(`input[name="${name}-${group}"]:checked`)?.value ?? "whole";
  const whole = () => all || picked("part") === "whole";
  const soft = () => picked("mode") === "soft";

  function update() {
    const part = all ? "whole" : picked("part");
    text.disabled = part === "whole";
    say(label, part === "tags" ? "Tags, between commas" : part === "prefix" ? "Prefix" : "Tags or prefix");
    paced.disabled = !whole() || soft();
    if (paced.disabled) paced.checked = false;
    speed.disabled = !paced.checked;
    change();
  }

  const tags = () => text.value.split(",").map((/** @type {string} */ each) => each.trim()).filter(Boolean);
  return {
    element,
    whole,
    soft,
    reason: () => reason.value.trim(),
    problem() {
      if (!whole() && !(picked("part") === "tags" ? tags().length : text.value)) return picked("part") === "tags" ? "Name a tag to see what it covers." : "Type a prefix to see what it covers.";
      if (paced.checked && !(Number(speed.value) > 0)) return "The pace must be a number above 0.";
      return "";
    },
    chosen() {
      /** @type {any} */
      const request = { mode: picked("mode") };
      if (!whole()) {
        if (picked("part") === "tags") request.tags = tags();
        else request.prefix = text.value;
      }
      if (paced.checked) request.refill = { ratePerSecond: Number(speed.value) };
      return request;
    },
  };
}

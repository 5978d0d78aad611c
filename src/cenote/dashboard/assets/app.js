/**
 * The page: who looks at it, what they see, and what all views share.
 *
 * @typedef {Object} App
 * @property {any} session Who is signed in.
 * @property {Live} live What happens now.
 * @property {(listeners: Record<string, (event: any) => void>) => () => void} listen Listens until what it returns is called.
 * @property {(error: any) => void} failed Tells of a request that failed.
 */

import { call, get, onSignedOut } from "./api.js";
import { audit } from "./audit.js";
import { clearView } from "./receipt.js";
import { h, say } from "./dom.js";
import { plural, title } from "./format.js";
import { Live } from "./live.js";
import { note } from "./notes.js";
import { overview } from "./overview.js";
import { placeOfClear, parse, route } from "./router.js";
import { service } from "./service.js";
import { signIn } from "./signin.js";
import { themeSwitch } from "./theme.js";

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const nav = /** @type {HTMLElement} */ (document.getElementById("nav"));
const tools = /** @type {HTMLElement} */ (document.getElementById("tools"));
const status = /** @type {HTMLElement} */ (document.getElementById("status"));

const WORDS = { off: "", connecting: "connecting", live: "live", reconnecting: "reconnecting", polling: "every 2 s" };
const VIEWS = { overview, service, audit, clear: clearView };
const LINKS = [["overview", "#/", "Overview"], ["audit", "#/audit", "Audit trail"]];

/** @type {App} */
const app = {
  session: null,
  live: new Live(),
  listen(listeners) {
    const all = Object.entries(listeners);
    for (const [name, listener] of all) app.live.addEventListener(name, listener);
    return () => all.forEach(([name, listener]) => app.live.removeEventListener(name, listener));
  },
  failed(error) {
    // While the server is away, the state of the connection says so already.
    if (error?.status !== 401 && !(error?.status === 0 && app.live.state === "reconnecting")) {
      note(error?.message ?? String(error), { kind: "bad" });
    }
  },
};

let end = () => {};
let seen = "";

/** @param {import("./router.js").Route} place */
function show(place) {
  if (!app.session?.role) return;
  end();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  main.replaceChildren();
  for (const link of nav.children) {
    if (link.getAttribute("data-view") === place.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  end = VIEWS[place.view](app, main, place);
  const heading = main.querySelector("h1");
  document.title = `${heading?.textContent ?? "Cenote"} · Cenote`;
  const here = location.hash;
  if (seen !== here && seen !== "") {
    scrollTo(0, 0);
    heading?.focus({ preventScroll: true });
  }
  seen = here || "#/";
}

function showStatus() {
  status.dataset.state = app.live.state;
  say(status, WORDS[app.live.state]);
}

function showSession() {
  const { role, required, expiresAt } = app.session;
  nav.replaceChildren(...(role ? LINKS.map(([view, href, words]) => h("a", { href, "data-view": view }, words)) : []));
  tools.replaceChildren(themeSwitch());
  if (role && required) {
    tools.prepend(h("span", { class: "role" }, role));
    if (expiresAt) tools.append(h("button", { type: "button", class: "quiet", onclick: signOut }, "Sign out"));
  }
}

async function signOut() {
  try {
    await call("DELETE", "session");
  } catch (error) {
    app.failed(error);
    return;
  }
  await begin();
}

/** @param {any} session */
function enter(session) {
  app.session = session;
  showSession();
  app.live.start();
  show(parse(location.hash));
}

/** Ask who looks, and show them the view, or the sign-in. */
async function begin() {
  end();
  end = () => {};
  app.live.stop();
  try {
    app.session = await get("session");
  } catch (error) {
    status.dataset.state = "reconnecting";
    say(status, error.status ? error.message : "reconnecting");
    setTimeout(begin, 2000);
    return;
  }
  if (app.session.role) {
    enter(app.session);
    return;
  }
  showSession();
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  document.title = "Sign in · Cenote";
  signIn(main, app.session.viewers, enter);
}

let signedOut = false;
async function whenSignedOut() {
  if (signedOut || !app.session?.role) return;
  signedOut = true;
  await begin();
  signedOut = false;
}

onSignedOut(whenSignedOut);
app.live.addEventListener("signedout", whenSignedOut);
app.live.addEventListener("state", showStatus);
app.listen({
  "clear-done": ({ detail }) => {
    if (document.querySelector(`[data-clear="${CSS.escape(detail.clearId)}"]`)) return;
    const what = detail.all ? "Everything" : title(detail.serviceName);
    const failed = detail.state === "failed";
    const text = failed ? `A clear failed: ${what}` : `${what} was cleared: ${plural(detail.entries ?? 0, "entry", "entries")}`;
    note(text, { href: placeOfClear(detail.clearId), kind: failed ? "bad" : "" });
  },
});
document.getElementById("skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
route(show);
void begin();

/** Sign-in: the token goes to the server, which answers with a cookie; it is kept nowhere here. */

import { ApiError, post } from "./api.js";
import { h, say } from "./dom.js";

/**
 * Ask for the token.
 *
 * @param {HTMLElement} main Where to show the form.
 * @param {boolean} viewers Whether there is a token for viewers.
 * @param {(session: any) => void} done Called with the session.
 */
export function signIn(main, viewers, done) {
  const token = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "token-hint token-error" });
  const wrong = h("p", { id: "token-error", class: "error", role: "alert" }, "\u00a0");
  const button = h("button", { class: "primary" }, "Sign in");
  const form = h(
    "form",
    { class: "signin", onsubmit: send },
    h("h1", { tabindex: -1 }, "Sign in"),
    h("label", { for: "token" }, "Token"),
    token,
    h("p", { id: "token-hint", class: "hint" }, viewers ? "The operator's token clears, the viewer's looks." : "What the server was started with as CENOTE_TOKEN."),
    wrong,
    button,
  );

  /** @param {SubmitEvent} event */
  async function send(event) {
    event.preventDefault();
    button.disabled = true;
    say(wrong, "\u00a0");
    try {
      const session = await post("session", { token: token.value });
      token.value = "";
      done(session);
    } catch (error) {
      const status = error instanceof ApiError ? error.status : 0;
      say(wrong, status === 401 ? "This is not a token of this server." : `${/** @type {Error} */ (error).message}`);
      token.select();
      token.focus();
    } finally {
      button.disabled = false;
    }
  }

  main.replaceChildren(form);
  token.focus();
}

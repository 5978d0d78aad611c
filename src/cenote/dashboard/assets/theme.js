/** The colour scheme: the system's, or the one that was chosen here. */

import { h, say } from "./dom.js";

const KEY = "cenote-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

/** @returns {"system" | "light" | "dark"} */
function chosen() {
  const theme = document.documentElement.dataset.theme;
  return theme === "light" || theme === "dark" ? theme : "system";
}

/** @returns {HTMLButtonElement} The switch. */
export function themeSwitch() {
  const button = h("button", { type: "button", class: "quiet", onclick: turn });
  const show = () => {
    const theme = chosen();
    say(button, { system: "◐", light: "☀", dark: "☾" }[theme]);
    button.setAttribute("aria-label", `Colours: ${theme}. Switch to ${NEXT[theme]}`);
    button.title = `Colours: ${theme}`;
  };
  function turn() {
    const next = NEXT[chosen()];
    if (next === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    try {
      if (next === "system") localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, next);
    } catch {
      // It then lasts as long as the page does.
    }
    show();
    dispatchEvent(new Event("theme"));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("theme")));
  show();
  return button;
}

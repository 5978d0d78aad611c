// Before the first paint, so that nobody in the dark is shown a white page first.
(() => {
  try {
    const chosen = localStorage.getItem("cenote-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; the system's scheme is then the one.
  }
})();

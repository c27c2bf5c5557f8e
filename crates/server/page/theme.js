// Runs before anything is drawn, so that a page in the dark never flashes white.
// "auto" (nothing stored) follows the system.
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("ponder.theme");
  } catch {
    // A browser that forbids storage: the system decides.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();

// What the keyboard does, and the dialog that says so.

import { show } from "./dialog.js";
import { el } from "./dom.js";

/** Keys as shown, what they do, and, where this page listens for them itself, the name of the action and `event.code`. */
export const SHORTCUTS = [
  { keys: ["Enter"], does: "Send the question" },
  { keys: ["Shift", "Enter"], does: "New line in the question" },
  { keys: ["Esc"], does: "Stop the answer" },
  { keys: ["Alt", "A"], does: "Answer now: end the thinking", code: "KeyA", action: "answerNow" },
  { keys: ["Alt", "↑"], does: "More effort", code: "ArrowUp", action: "moreEffort" },
  { keys: ["Alt", "↓"], does: "Less effort", code: "ArrowDown", action: "lessEffort" },
  { keys: ["Alt", "T"], does: "Unfold or fold the last thought", code: "KeyT", action: "toggleThought" },
  { keys: ["Alt", "R"], does: "Answer the last question again", code: "KeyR", action: "regenerate" },
  { keys: ["Alt", "L"], does: "Edit the last question; also ↑ in an empty field", code: "KeyL", action: "editLast" },
  { keys: ["Alt", "N"], does: "New conversation", code: "KeyN", action: "newChat" },
  { keys: ["Alt", "B"], does: "Show or hide the list of conversations", code: "KeyB", action: "toggleSide" },
  { keys: ["Alt", "Q"], does: "To the question field", code: "KeyQ", action: "focusAsk" },
  { keys: ["Alt", "1"], does: "Chat", code: "Digit1", action: "chat" },
  { keys: ["Alt", "2"], does: "Schema", code: "Digit2", action: "schema" },
  { keys: ["Alt", "3"], does: "Tools", code: "Digit3", action: "tools" },
  { keys: ["Alt", ","], does: "Settings", code: "Comma", action: "settings" },
  { keys: ["Alt", "/"], does: "This list", code: "Slash", action: "shortcuts" },
];

/** Calls the action of a shortcut; none while a dialog or a menu is open. */
export function listen(actions) {
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open], :popover-open")) return;
    if (event.key === "Escape" && !event.defaultPrevented) {
      actions.stop();
      return;
    }
    if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.isComposing) return;
    const shortcut = SHORTCUTS.find((one) => one.code === event.code);
    if (!shortcut) return;
    event.preventDefault();
    actions[shortcut.action]();
  });
}

export function openShortcuts() {
  const isMac = /mac/i.test(navigator.platform);
  const key = (name) => el("kbd", {}, isMac && name === "Alt" ? "⌥" : name);
  const rows = SHORTCUTS.map(({ keys, does }) => el("tr", {}, el("td", {}, does), el("td", { class: "keys" }, ...keys.map(key))));
  const head = el("thead", { class: "hidden" }, el("tr", {}, el("th", { scope: "col" }, "Does"), el("th", { scope: "col" }, "Keys")));
  return show("Keyboard shortcuts", () => [el("table", { class: "shortcuts" }, head, el("tbody", {}, ...rows))]);
}

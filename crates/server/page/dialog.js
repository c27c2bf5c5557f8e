// Dialogs: the browser's own, which keep the focus and close with Esc.

import { el, freshId, iconButton } from "./dom.js";

/** Shows a dialog; `content` gets a function that closes it with a value, and gives its elements. Resolves to that value, or null. */
export function show(title, content, className = "") {
  const id = freshId("dialog");
  return new Promise((resolve) => {
    let value = null;
    const close = (result) => {
      value = result;
      dialog.close();
    };
    const dialog = el(
      "dialog",
      {
        class: `dialog ${className}`.trim(),
        "aria-labelledby": id,
        onclose: () => {
          dialog.remove();
          resolve(value);
        },
        // A click beside it.
        onclick: (event) => event.target === dialog && close(null),
      },
      el("div", { class: "dialog-inner" }, el("div", { class: "dialog-head" }, el("h2", { id }, title), iconButton("close", "Close", () => close(null))), ...content(close)),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks whether to go on. */
export async function confirm(title, text, action) {
  const answer = await show(title, (close) => [
    el("p", {}, text),
    el(
      "div",
      { class: "buttons" },
      el("button", { type: "button", class: "button", onclick: () => close(false), autofocus: true }, "Cancel"),
      el("button", { type: "button", class: "button danger", onclick: () => close(true) }, action),
    ),
  ]);
  return answer === true;
}

/** Asks for the API key; `isWrong` where one was given that the server does not take. */
export function askKey(isWrong) {
  return show("API key", (close) => {
    const field = el("input", { class: "input", type: "password", id: "api-key", autocomplete: "off", required: true, autofocus: true });
    return [
      el("p", {}, isWrong ? "The server does not take this key." : "The server asks for a key: the one that it was started with."),
      el(
        "form",
        {
          class: "stack",
          onsubmit: (event) => {
            event.preventDefault();
            close(field.value.trim());
          },
        },
        el("label", { for: "api-key" }, "Key"),
        field,
        el("p", { class: "quiet small" }, "It is kept until this tab is closed, and sent to this server only."),
        el("div", { class: "buttons" }, el("button", { type: "submit", class: "button primary" }, "Use it")),
      ),
    ];
  });
}

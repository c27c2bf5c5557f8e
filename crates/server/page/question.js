// A question as it is shown, and edited where it stands.

import { grow } from "./composer.js";
import { el, iconButton } from "./dom.js";
import { copyButton } from "./prose.js";

export class Question {
  /** `onEdit` gets the new text. */
  constructor(text, onEdit) {
    this.text = text;
    this.onEdit = onEdit;
    this.editButton = iconButton("pencil", "Edit and ask again", () => this.edit());
    this.element = el("article", { class: "turn question", "aria-label": "You asked" });
    this.#show();
  }

  /** Whether it may be edited: the last one. */
  set isLast(value) {
    this.editButton.hidden = !value;
  }

  #show() {
    const actions = el("div", { class: "actions" }, copyButton("Copy the question", () => this.text), this.editButton);
    this.element.replaceChildren(el("div", { class: "bubble" }, this.text), actions);
  }

  edit() {
    const field = el("textarea", { class: "input", value: this.text, "aria-label": "Edit your question", rows: 2, oninput: () => grow(field) });
    const cancel = () => {
      this.#show();
      this.editButton.focus();
    };
    const form = el(
      "form",
      {
        class: "edit",
        onsubmit: (event) => {
          event.preventDefault();
          const text = field.value.trim();
          if (text !== "") this.onEdit(text);
        },
        onkeydown: (event) => {
          if (event.key === "Escape") {
            event.stopPropagation();
            cancel();
          } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            form.requestSubmit();
          }
        },
      },
      field,
      el("div", { class: "buttons" }, el("button", { type: "button", class: "button", onclick: cancel }, "Cancel"), el("button", { type: "submit", class: "button primary" }, "Ask again")),
    );
    this.element.replaceChildren(form);
    grow(field);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

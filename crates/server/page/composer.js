// Where questions are written: a field that grows, the effort slider, and one button that sends or stops.

import { current } from "./context.js";
import { drawIcon, el } from "./dom.js";
import { effortSlider } from "./slider.js";

export class Composer {
  #isRunning = false;

  /** `onAsk` gets the text and says whether it was taken; `onEditLast` is for ↑ in an empty field. */
  constructor({ onAsk, onStop, onEditLast }) {
    this.onAsk = onAsk;
    this.onStop = onStop;
    this.field = el("textarea", {
      id: "ask",
      rows: 1,
      placeholder: "Ask something",
      "aria-label": "Your question",
      autocomplete: "off",
      oninput: () => this.#refresh(),
      onkeydown: (event) => this.#key(event, onEditLast),
    });
    this.button = el("button", { type: "submit", class: "send" });
    this.element = el(
      "form",
      { class: "composer", onsubmit: (event) => this.#submit(event) },
      el("div", { class: "composer-card" }, this.field, el("div", { class: "composer-row" }, effortSlider(), this.button)),
    );
    this.#refresh();
  }

  set isRunning(value) {
    this.#isRunning = value;
    this.#refresh();
  }

  focus() {
    this.field.focus();
  }

  #refresh() {
    const label = this.#isRunning ? "Stop" : "Send";
    if (this.button.getAttribute("aria-label") !== label) {
      this.button.setAttribute("aria-label", label);
      this.button.title = this.#isRunning ? "Stop (Esc)" : "Send";
      this.button.replaceChildren(drawIcon(this.#isRunning ? "stop" : "send"));
    }
    this.button.disabled = !this.#isRunning && this.field.value.trim() === "";
    grow(this.field);
  }

  #key(event, onEditLast) {
    const isTouch = matchMedia("(pointer: coarse)").matches;
    const sends = current().enterSends && !isTouch ? !event.shiftKey : event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && sends && !event.isComposing) {
      event.preventDefault();
      if (!this.#isRunning) this.element.requestSubmit();
    } else if (event.key === "ArrowUp" && this.field.value === "" && !event.altKey) {
      if (onEditLast()) event.preventDefault();
    }
  }

  #submit(event) {
    event.preventDefault();
    if (this.#isRunning) {
      this.onStop();
      return;
    }
    const text = this.field.value.trim();
    if (text === "" || !this.onAsk(text)) return;
    this.field.value = "";
    this.#refresh();
    this.focus();
  }
}

/** Makes a field as high as its text; the style sheet says how high at most. */
export function grow(field) {
  field.style.height = "auto";
  if (field.scrollHeight > 0) field.style.height = `${field.scrollHeight}px`;
}

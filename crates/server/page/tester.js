// What the two testers have in common: a form at the left, an answer at the right.

import { current, model } from "./context.js";
import { notice } from "./announce.js";
import { el, freshId } from "./dom.js";
import { Run } from "./run.js";
import { effortSlider } from "./slider.js";
import { Turn } from "./turn.js";

/** A field for JSON that says where the JSON is wrong. */
export class JsonField {
  constructor(label, value, help, rows = 12) {
    const id = freshId("json");
    this.note = el("span", { class: "help", id: `${id}-help` }, help);
    this.help = help;
    this.input = el("textarea", { class: "input mono", id, rows, value, spellcheck: false, autocapitalize: "off", "aria-describedby": `${id}-help`, oninput: () => this.#check() });
    this.element = el("div", { class: "field" }, el("label", { for: id }, label), this.input, this.note);
  }

  set value(text) {
    this.input.value = text;
    this.#check();
  }

  /** What is written, or undefined where it is not JSON; then the field says why and has the focus. */
  read() {
    const { value, fault } = parseJson(this.input.value);
    this.#check();
    if (fault !== null) this.input.focus();
    return value;
  }

  #check() {
    const { fault } = parseJson(this.input.value);
    this.input.setAttribute("aria-invalid", String(fault !== null));
    this.note.textContent = fault ?? this.help;
  }
}

function parseJson(text) {
  try {
    return { value: JSON.parse(text), fault: null };
  } catch (error) {
    return { value: undefined, fault: `This is not JSON yet: ${error.message}` };
  }
}

export class Tester {
  run = null;

  /** `intro` are elements above the form, `fields` those of the form; `onAsk` is called when it is sent. */
  constructor(root, { id, title, intro, fields, onAsk }) {
    this.button = el("button", { type: "submit", class: "button primary" }, "Ask");
    this.stopButton = el("button", { type: "button", class: "button", hidden: true, onclick: () => this.stop() }, "Stop");
    this.results = el("div", { class: "results" }, el("p", { class: "quiet" }, "The answer appears here."));
    this.form = el(
      "form",
      {
        class: "stack",
        onsubmit: (event) => {
          event.preventDefault();
          if (!this.run) onAsk();
        },
        onkeydown: (event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
        },
      },
      ...fields,
      effortSlider(),
      el("div", { class: "buttons" }, this.stopButton, this.button),
    );
    root.append(
      el(
        "div",
        { class: "tester-grid" },
        el("div", { class: "tester-form" }, el("h2", { id: `${id}-title` }, title), intro, this.form),
        el("section", { class: "tester-results", "aria-label": "Answer" }, this.results),
      ),
    );
  }

  /** Asks and shows the answer below what is there already; gives the answer, or null where there is no model. */
  async ask(makeBody, options = {}) {
    const settings = { ...current(), votes: 1 };
    if (settings.model === null) {
      notice("There is no model to ask: the server cannot be reached, or has none.");
      return null;
    }
    const run = new Run(settings, model());
    this.run = run;
    const turn = new Turn({ ...options, onAnswerNow: () => this.answerNow() });
    this.lastTurn = turn;
    this.results.append(turn.element);
    this.#refresh();
    const changed = () => turn.update(run.answer, run.canAnswerNow);
    run.watch(changed);
    changed();
    // Where the form is above the answer and not beside it.
    turn.element.scrollIntoView({ block: "nearest" });
    await run.start(makeBody(settings));
    turn.element.scrollIntoView({ block: "nearest" });
    if (this.run === run) this.run = null;
    this.#refresh();
    return run.answer;
  }

  clear() {
    this.results.replaceChildren();
  }

  stop() {
    this.run?.stop();
  }

  async answerNow() {
    try {
      await this.run?.answerNow();
    } catch (error) {
      notice(`The thinking could not be ended: ${error.message}`);
    }
  }

  toggleThought() {
    this.lastTurn?.thought.toggle();
  }

  #refresh() {
    this.button.disabled = this.run !== null;
    this.stopButton.hidden = this.run === null;
  }
}

/** A field for a question. */
export function questionField(value, focusable) {
  const id = freshId("question");
  const input = el("textarea", { class: "input", id, rows: 2, value, required: true });
  focusable.focus = () => {
    input.focus();
    return true;
  };
  return { input, element: el("div", { class: "field" }, el("label", { for: id }, "Question"), input) };
}

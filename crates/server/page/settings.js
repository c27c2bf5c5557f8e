// The dialog of settings; each takes effect as soon as it is right.

import { change, current } from "./context.js";
import { show } from "./dialog.js";
import { el, freshId } from "./dom.js";
import { DEFAULT_SETTINGS, numberFault } from "./state.js";

/** Name, label, what an empty field means, what it is, and how far its arrows step. */
const GROUPS = [
  [
    "Thinking",
    [
      ["budgetTokens", "Budget in tokens", "as the effort says", "No thought gets longer than this; the answer follows.", 1],
      ["deadlineSeconds", "Deadline in seconds", "none", "The answer is complete by then, and thinking ends in time for it.", 1],
      ["votes", "Votes", "1", "So many answers to each question, of which the most frequent is shown.", 1],
    ],
  ],
  [
    "Sampling",
    [
      ["temperature", "Temperature", "the model’s own", "0 always takes the likeliest token.", 0.1],
      ["topP", "Top p", "the model’s own", "Draws from the likeliest tokens that have this share together.", 0.05],
      ["seed", "Seed", "a new one each time", "The same seed and question give the same answer.", 1],
      ["maxTokens", "Most tokens", "what the context allows", "Of thinking and answer together.", 1],
    ],
  ],
];

export function openSettings() {
  return show(
    "Settings",
    (close) => [
      el("p", { class: "quiet small" }, "They hold for whatever is asked from now on, and stay in this browser."),
      systemFields(),
      ...GROUPS.map(([title, fields]) => el("fieldset", {}, el("legend", {}, title), el("div", { class: "fields" }, ...fields.map(numberField)))),
      el("fieldset", {}, el("legend", {}, "Keyboard"), checkbox("enterSends", "Enter sends; Shift+Enter makes a new line")),
      el(
        "div",
        { class: "buttons" },
        el("button", { type: "button", class: "button", onclick: () => close("reset") }, "Back to defaults"),
        el("button", { type: "button", class: "button primary", onclick: () => close(null) }, "Done"),
      ),
    ],
    "sheet",
  ).then((result) => {
    if (result === "reset") change({ ...DEFAULT_SETTINGS, model: current().model, effort: current().effort });
  });
}

function systemFields() {
  const settings = current();
  const name = freshId("role");
  const role = (value, label) =>
    el("label", { class: "choice" }, el("input", { type: "radio", name, value, checked: settings.systemRole === value, onchange: () => change({ systemRole: value }) }), label);
  const id = freshId("system");
  return el(
    "fieldset",
    {},
    el("legend", {}, "Instructions"),
    el("label", { for: id }, "What the model is told before each conversation"),
    el("textarea", { class: "input", id, rows: 4, value: settings.system, placeholder: "Answer briefly.", oninput: (event) => change({ system: event.target.value }) }),
    el("div", { class: "choices", role: "group", "aria-label": "Role of the instructions" }, el("span", { class: "quiet small" }, "Sent with the role"), role("system", "system"), role("developer", "developer")),
  );
}

function numberField([name, label, placeholder, help, step]) {
  const id = freshId(name);
  const value = current()[name];
  const note = el("span", { class: "help", id: `${id}-help` }, help);
  const input = el("input", {
    class: "input",
    type: "number",
    id,
    step,
    placeholder,
    inputMode: "decimal",
    value: value === null || (name === "votes" && value === 1) ? "" : value,
    "aria-describedby": `${id}-help`,
    oninput: () => {
      const isEmpty = input.value === "" && !input.validity.badInput;
      const fault = isEmpty ? null : numberFault(name, input.valueAsNumber);
      input.setAttribute("aria-invalid", String(fault !== null));
      note.textContent = fault ?? help;
      if (fault === null) change({ [name]: isEmpty ? DEFAULT_SETTINGS[name] : input.valueAsNumber });
    },
  });
  return el("div", { class: "field" }, el("label", { for: id }, label), input, note);
}

function checkbox(name, label) {
  return el("label", { class: "choice" }, el("input", { type: "checkbox", checked: current()[name], onchange: (event) => change({ [name]: event.target.checked }) }), label);
}

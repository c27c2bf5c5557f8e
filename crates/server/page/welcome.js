// What an empty conversation shows.

import { el } from "./dom.js";
import { Ring } from "./ring.js";

const EXAMPLES = ["What is (48 - 19) × 4 - 37?", "Sort these numbers: 84, 17, 59, 23.", "How many letters r are in the word strawberry?"];

export function welcome(ask) {
  const ring = new Ring();
  ring.show(7, 10, "", false);
  ring.element.setAttribute("aria-hidden", "true");
  const examples = EXAMPLES.map((text) => el("li", {}, el("button", { type: "button", class: "example", onclick: () => ask(text) }, text)));
  return el(
    "div",
    { class: "welcome" },
    ring.element,
    el("h2", {}, "What shall be thought about?"),
    el("p", { class: "quiet" }, "Choose how long a question may be thought about, and take the answer whenever you want it."),
    el("ul", { class: "examples", "aria-label": "Examples" }, ...examples),
  );
}

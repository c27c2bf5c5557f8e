// The slider of effort levels; all of them show the same setting.

import { change, current, model, onChange } from "./context.js";
import { LEVELS, level, meaning } from "./effort.js";
import { el, freshId } from "./dom.js";

export function effortSlider() {
  const id = freshId("effort");
  const name = el("output", { class: "effort-name", for: id });
  const means = el("span", { class: "effort-means", id: `${id}-means` });
  const input = el("input", {
    type: "range",
    id,
    min: 0,
    max: LEVELS.length - 1,
    step: 1,
    "aria-describedby": `${id}-means`,
    oninput: () => change({ effort: LEVELS[input.valueAsNumber].id }),
  });
  const ticks = el("span", { class: "ticks", "aria-hidden": "true" }, ...LEVELS.map(() => el("i")));
  onChange(() => {
    const settings = current();
    const at = LEVELS.findIndex((one) => one.id === settings.effort);
    input.value = at;
    input.setAttribute("aria-valuetext", level(settings.effort).name);
    input.style.setProperty("--part", `${(100 * at) / (LEVELS.length - 1)}%`);
    name.textContent = level(settings.effort).name;
    means.textContent = meaning(settings, model());
  });
  return el(
    "div",
    { class: "effort" },
    el("label", { for: id, class: "effort-label" }, "Effort"),
    el("span", { class: "track" }, ticks, input),
    el("span", { class: "effort-words" }, name, means),
  );
}

/** One level more or less. */
export function stepEffort(by) {
  const at = LEVELS.findIndex((one) => one.id === current().effort) + by;
  if (LEVELS[at]) change({ effort: LEVELS[at].id });
  return level(current().effort);
}

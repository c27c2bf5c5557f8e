// A ring that fills: how much of a budget is used.

import { svg } from "./dom.js";

const RADIUS = 8;
const LENGTH = 2 * Math.PI * RADIUS;

/** How much of the ring is drawn, `[0, 1]`. */
export function fraction(used, budget) {
  return budget > 0 ? Math.min(Math.max(used / budget, 0), 1) : 0;
}

export class Ring {
  constructor() {
    const circle = (name) => svg("circle", { cx: 10, cy: 10, r: RADIUS, class: name });
    this.arc = circle("ring-arc");
    this.element = svg("svg", { viewBox: "0 0 20 20", class: "ring", role: "img", "aria-label": "" }, circle("ring-track"), this.arc);
  }

  /** Shows `used` of `budget`; without a budget, a part that turns while `isRunning`. */
  show(used, budget, label, isRunning) {
    const isOpen = !(budget > 0);
    const part = isOpen ? (isRunning ? 0.25 : 1) : fraction(used, budget);
    this.arc.setAttribute("stroke-dasharray", `${(part * LENGTH).toFixed(2)} ${LENGTH.toFixed(2)}`);
    this.element.setAttribute("aria-label", label);
    this.element.classList.toggle("spins", isOpen && isRunning);
    this.element.classList.toggle("full", !isOpen && part >= 1);
    this.element.classList.toggle("empty", part === 0);
  }
}

// The list at the side: beside the rest on a wide screen, over it on a narrow one.

import { byId } from "./dom.js";

export class Side {
  #narrow = matchMedia("(max-width: 55rem)");
  #isOpen = !this.#narrow.matches;

  constructor() {
    byId("side-toggle").addEventListener("click", () => this.toggle());
    byId("side-close").addEventListener("click", () => this.toggle());
    byId("veil").addEventListener("click", () => this.toggle());
    byId("side").addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#narrow.matches && !event.defaultPrevented) {
        event.stopPropagation();
        this.toggle();
      }
    });
    this.#narrow.addEventListener("change", () => this.#set(!this.#narrow.matches));
    this.#set(this.#isOpen);
  }

  toggle() {
    this.#set(!this.#isOpen);
    if (!this.#narrow.matches) return;
    (this.#isOpen ? byId("side-close") : byId("side-toggle")).focus();
  }

  closeIfNarrow() {
    if (this.#narrow.matches && this.#isOpen) this.toggle();
  }

  #set(isOpen) {
    this.#isOpen = isOpen;
    byId("side").inert = !isOpen;
    byId("stage").inert = isOpen && this.#narrow.matches;
    byId("side-toggle").setAttribute("aria-expanded", String(isOpen));
    // Two classes, so that a wide page has its list, and a narrow one has not, before this runs.
    document.body.classList.toggle("side-open", isOpen);
    document.body.classList.toggle("side-closed", !isOpen);
  }
}

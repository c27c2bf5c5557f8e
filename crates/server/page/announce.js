// What is said to screen readers: whole things, never single tokens.

import { byId } from "./dom.js";

/** Longer answers are begun; the rest can be read where it stands. */
const MOST = 1000;

export function announce(text) {
  const shown = text.length > MOST ? `${text.slice(0, MOST)} … The answer goes on.` : text;
  byId("announce").replaceChildren(shown);
}

let timer = null;

/** A line at the top that goes away by itself. */
export function notice(text) {
  const line = byId("notice");
  line.hidden = false;
  line.replaceChildren(text);
  clearTimeout(timer);
  timer = setTimeout(() => {
    line.hidden = true;
  }, 8000);
}

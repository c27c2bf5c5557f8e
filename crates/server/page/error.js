// An error as text, with what to do.

import { el } from "./dom.js";
import { advice, split } from "./advice.js";

/** `error` has a `message`, and a `status` and a `param` where the server gave them. */
export function errorBox(error) {
  const { what, hint } = split(error.message);
  const next = hint ?? advice(error);
  const status = error.status > 0 ? `Error ${error.status}` : "No answer";
  return el("div", { class: "error", role: "alert" }, el("strong", {}, status), el("p", {}, what), next && el("p", { class: "next" }, next));
}

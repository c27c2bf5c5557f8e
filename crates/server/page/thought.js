// A thought: folded, with a line of what is being thought, its length and what is left of its budget.

import { drawIcon, el, freshId } from "./dom.js";
import { endedInWords, phase, speeds, thinkingTokens } from "./answer.js";
import { seconds, tokens, whole } from "./format.js";
import { Ring } from "./ring.js";

export class Thought {
  #shownLength = 0;
  #text = document.createTextNode("");

  constructor(onAnswerNow) {
    const id = freshId("thought");
    this.ring = new Ring();
    this.ring.element.setAttribute("aria-hidden", "true");
    this.label = el("span", { class: "thought-label" });
    this.detail = el("span", { class: "thought-detail" });
    this.fold = el(
      "button",
      { type: "button", class: "thought-fold", "aria-expanded": "false", "aria-controls": id, onclick: () => this.toggle() },
      this.ring.element,
      el("span", { class: "thought-words" }, this.label, this.detail),
      drawIcon("chevron"),
    );
    this.now = el("button", { type: "button", class: "button small answer-now", onclick: onAnswerNow, title: "End the thinking and answer (Alt+A)" }, "Answer now");
    this.peek = el("p", { class: "thought-peek", "aria-hidden": "true" });
    this.body = el("div", { class: "thought-body", id, hidden: true, tabIndex: 0, role: "region", "aria-label": "Thinking" }, this.#text);
    this.element = el("div", { class: "thought", hidden: true }, el("div", { class: "thought-head" }, this.fold, this.now), this.peek, this.body);
  }

  /** Unfolds or folds. */
  toggle() {
    this.body.hidden = !this.body.hidden;
    this.fold.setAttribute("aria-expanded", String(!this.body.hidden));
    this.element.classList.toggle("open", !this.body.hidden);
  }

  update(answer, canAnswerNow) {
    const isThinking = phase(answer) === "thinking";
    const isVoting = phase(answer) === "waiting" && answer.votesAsked > 1;
    this.now.hidden = !canAnswerNow;
    this.element.hidden = answer.reasoning === "" && !(isVoting && canAnswerNow);
    this.fold.hidden = answer.reasoning === "";
    this.element.classList.toggle("running", isThinking);
    if (answer.reasoning === "") return;
    this.#grow(answer.reasoning);
    this.peek.hidden = !isThinking;
    if (isThinking) this.peek.textContent = lastLine(answer.reasoning);
    this.#describe(answer, isThinking);
  }

  #grow(text) {
    const isNearEnd = this.body.scrollHeight - this.body.scrollTop - this.body.clientHeight < 40;
    this.#text.appendData(text.slice(this.#shownLength));
    this.#shownLength = text.length;
    if (isNearEnd) this.body.scrollTop = this.body.scrollHeight;
  }

  #describe(answer, isThinking) {
    const used = thinkingTokens(answer);
    // Where answers voted, what is known is what all of them thought, each within the budget.
    const budget = answer.votes ? null : answer.budget;
    const of = budget > 0 ? `${whole(used)} of ${tokens(budget)}` : tokens(used);
    this.ring.show(used, budget, of, isThinking);
    set(this.label, isThinking ? "Thinking" : "Thought");
    set(this.detail, isThinking ? of : ended(answer, used));
  }
}

function ended(answer, used) {
  const until = endedInWords(answer);
  const { ttft, ttfo } = speeds(answer);
  const took = ttfo === null || ttft === null ? null : seconds(ttfo - ttft);
  const spent = answer.votes ? `${tokens(used)} in ${answer.votes.asked} answers` : tokens(used);
  return [spent, took, until].filter((part) => part !== null).join(" · ");
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The end of the last line that says something. */
function lastLine(text) {
  const lines = text.slice(-400).trimEnd().split("\n");
  return lines.at(-1).slice(-160);
}

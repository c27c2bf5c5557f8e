// An answer as it is shown: its thought, itself, its calls, its votes, what it cost.

import { el } from "./dom.js";
import { phase } from "./answer.js";
import { errorBox } from "./error.js";
import { percent, tokens, whole } from "./format.js";
import { Prose, codeBlock } from "./prose.js";
import { Ring } from "./ring.js";
import { statsLine } from "./stats.js";
import { Thought } from "./thought.js";

export class Turn {
  /**
   * `label` is the article's name; `onAnswerNow` ends the thinking; `actions` are elements beside the
   * figures; `content` shows the answer's text in another way than as prose.
   */
  constructor({ label = "Answer", onAnswerNow, actions = [], content = null }) {
    this.thought = new Thought(onAnswerNow);
    this.prose = content ?? new Prose();
    this.ring = new Ring();
    this.statusText = el("span");
    this.status = el("p", { class: "status" }, this.ring.element, this.statusText);
    this.calls = el("div", { class: "calls" });
    this.votes = el("div", { class: "votes" });
    this.error = el("div", {});
    this.foot = el("div", { class: "turn-foot" });
    this.actions = el("div", { class: "actions" }, ...actions);
    this.element = el("article", { class: "turn answer", "aria-label": label }, this.thought.element, this.status, this.prose.element, this.calls, this.votes, this.error, this.foot);
  }

  /** Shows the answer as it is now; `canAnswerNow` is the run's. */
  update(answer, canAnswerNow = false) {
    const now = phase(answer);
    const isOver = answer.state !== "running";
    this.element.setAttribute("aria-busy", String(!isOver));
    this.thought.update(answer, canAnswerNow);
    this.#showStatus(answer, now);
    this.prose.update(answer.content, isOver ? answer : null);
    if (isOver) {
      this.calls.replaceChildren(...answer.toolCalls.map(callElement));
      this.votes.replaceChildren(...(answer.votes ? [votesTable(answer.votes)] : []));
      this.error.replaceChildren(...problems(answer));
      this.foot.replaceChildren(...[statsLine(answer), this.actions].filter(Boolean));
    }
  }

  #showStatus(answer, now) {
    const text = statusText(answer, now);
    this.status.hidden = text === null;
    if (text === null) return;
    const { done, total } = answer.progress ?? { done: 0, total: null };
    this.ring.show(done, now === "reading" ? total : null, text, true);
    this.ring.element.setAttribute("aria-hidden", "true");
    if (this.statusText.textContent !== text) this.statusText.textContent = text;
  }
}

/** What is said while nothing of the answer is there. */
function statusText(answer, now) {
  if (now === "reading") return `Reading the question: ${whole(answer.progress.done)} of ${tokens(answer.progress.total)}`;
  if (now !== "waiting") return null;
  return answer.votesAsked > 1 ? `${answer.votesAsked} answers are thought through and will vote` : "Waiting for the first word";
}

/** What went wrong, or ended the answer before its end. */
function problems(answer) {
  if (answer.error) return [errorBox(answer.error)];
  if (answer.state === "stopped") return [el("p", { class: "quiet small" }, "Stopped before the end.")];
  const ends = {
    length: "Cut here: the limit of tokens, or the end of the model's context, was reached.",
    deadline: "Cut here: the time was up.",
    loop: "Ended here: the answer began to repeat itself.",
  };
  const end = ends[answer.stoppedBy] ?? ends[answer.finishReason];
  if (end) return [el("p", { class: "quiet small" }, end)];
  if (!answer.content && answer.toolCalls.length === 0) return [el("p", { class: "quiet small" }, "The model said nothing.")];
  return [];
}

function callElement(call) {
  let text = call.arguments;
  try {
    text = JSON.stringify(JSON.parse(call.arguments), null, 2);
  } catch {
    // Shown as the model wrote it.
  }
  return el("section", { class: "call", "aria-label": `Call of ${call.name}` }, el("p", { class: "call-name" }, "Calls ", el("strong", {}, call.name)), codeBlock(text, "json"));
}

function votesTable(votes) {
  const total = votes.tally.reduce((sum, one) => sum + one.votes, 0);
  const rows = votes.tally.map((one) => {
    const share = percent(one.votes, total);
    const fill = el("i");
    fill.style.width = share.replace(" ", "");
    const bar = el("span", { class: "share", role: "img", "aria-label": share }, fill);
    return el("tr", {}, el("th", { scope: "row" }, one.answer || "no answer"), el("td", {}, bar), el("td", { class: "count" }, whole(one.votes)));
  });
  const head = el("tr", {}, ...["Answer", "Share", "Votes"].map((name) => el("th", { scope: "col" }, name)));
  const early = votes.settledEarly && total < votes.asked ? `, settled after ${total}` : "";
  return el("table", {}, el("caption", {}, `${votes.asked} answers voted${early}`), el("thead", { class: "hidden" }, head), el("tbody", {}, ...rows));
}


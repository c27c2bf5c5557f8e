// The conversation: its questions and answers, and the field below. Answers go on while another
// conversation is looked at.

import { current, model } from "./context.js";
import { Composer } from "./composer.js";
import { drawIcon, el, iconButton } from "./dom.js";
import { notice } from "./announce.js";
import { copyButton } from "./prose.js";
import { Question } from "./question.js";
import { Run } from "./run.js";
import { apiMessages, newConversation, requestBody, takeBackQuestion } from "./state.js";
import { saveConversation } from "./store.js";
import { Turn } from "./turn.js";
import { welcome } from "./welcome.js";

/** How often a running answer is stored. */
const SAVE_EVERY_MS = 1000;

export class Chat {
  /** Running answers by the id of their conversation. */
  #runs = new Map();
  #turns = [];
  #unwatch = () => {};

  /** `onChange` is called when a conversation was changed, with it. */
  constructor(root, onChange) {
    this.onChange = onChange;
    this.list = el("div", { class: "turns" });
    this.welcome = welcome((text) => this.ask(text));
    this.scroll = el("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Conversation", onscroll: () => this.#showEndButton() }, this.welcome, this.list);
    this.toEnd = el("button", { type: "button", class: "to-end", "aria-label": "To the end", hidden: true, onclick: () => this.#scrollToEnd() }, drawIcon("down"));
    this.composer = new Composer({ onAsk: (text) => this.ask(text), onStop: () => this.stop(), onEditLast: () => this.editLast() });
    root.append(this.scroll, el("div", { class: "dock" }, this.toEnd, this.composer.element));
    addEventListener("pagehide", () => this.#saveRunning());
    this.open(fresh());
  }

  get run() {
    return this.#runs.get(this.conversation.id);
  }

  isRunning(id) {
    return this.#runs.has(id);
  }

  /** Shows a conversation. */
  open(conversation) {
    // What is running has the newest state of its conversation.
    this.conversation = this.#runs.get(conversation.id)?.conversation ?? conversation;
    this.#show();
  }

  #show() {
    this.#unwatch();
    this.#turns = this.conversation.messages.map((message) => this.#turnOf(message));
    this.list.replaceChildren(...this.#turns.map((turn) => turn.element));
    if (this.run) this.#watch(this.run);
    this.#refresh();
    this.#scrollToEnd();
  }

  #turnOf(message) {
    if (message.role === "user") return new Question(message.text, (text) => this.#askInstead(text));
    const again = iconButton("again", "Answer again (Alt+R)", () => this.regenerate());
    const copy = copyButton("Copy the answer", () => message.answer.content);
    const turn = new Turn({ label: "Answer", onAnswerNow: () => this.answerNow(), actions: [copy, again] });
    Object.assign(turn, { copy, again });
    turn.update(message.answer);
    return turn;
  }

  #refresh() {
    const isRunning = Boolean(this.run);
    this.composer.isRunning = isRunning;
    this.welcome.hidden = this.#turns.length > 0;
    const lastQuestion = this.#turns.findLast((turn) => turn instanceof Question);
    for (const [i, turn] of this.#turns.entries()) {
      if (turn instanceof Question) turn.isLast = turn === lastQuestion && !isRunning;
      else {
        turn.copy.hidden = this.conversation.messages[i].answer.content === "";
        turn.again.hidden = turn !== this.#turns.at(-1) || isRunning;
      }
    }
  }

  /** Asks; gives whether the question was taken. */
  ask(text) {
    if (this.run) return false;
    const settings = current();
    if (settings.model === null) {
      notice("There is no model to ask: the server cannot be reached, or has none.");
      return false;
    }
    const { conversation } = this;
    conversation.messages.push({ role: "user", text });
    const body = requestBody(settings, apiMessages(conversation, settings));
    const run = new Run(settings, model());
    run.conversation = conversation;
    conversation.messages.push({ role: "assistant", answer: run.answer });
    for (const message of conversation.messages.slice(-2)) this.#append(this.#turnOf(message));
    this.#runs.set(conversation.id, run);
    this.#watch(run);
    this.#touch(conversation);
    this.#refresh();
    this.#scrollToEnd();
    this.#follow(run, body);
    return true;
  }

  async #follow(run, body) {
    const { conversation } = run;
    const saving = setInterval(() => saveConversation(conversation), SAVE_EVERY_MS);
    await run.start(body);
    clearInterval(saving);
    this.#runs.delete(conversation.id);
    this.#touch(conversation);
    if (conversation === this.conversation) this.#refresh();
  }

  #append(turn) {
    this.#turns.push(turn);
    this.list.append(turn.element);
  }

  #watch(run) {
    const turn = this.#turns.at(-1);
    const changed = () => {
      const isAtEnd = this.#isAtEnd();
      turn.update(run.answer, run.canAnswerNow);
      if (isAtEnd) this.#scrollToEnd();
      this.#showEndButton();
    };
    this.#unwatch = run.watch(changed);
    changed();
  }

  #touch(conversation) {
    conversation.updated = Date.now();
    if (!saveConversation(conversation)) {
      notice("This browser has no room for more: delete or export some conversations, or this one is lost with the page.");
    }
    this.onChange(conversation);
  }

  #saveRunning() {
    for (const run of this.#runs.values()) saveConversation(run.conversation);
  }

  stop() {
    this.run?.stop();
  }

  /** Stops the answer of a conversation that goes away. */
  forget(id) {
    this.#runs.get(id)?.stop();
  }

  async answerNow() {
    try {
      await this.run?.answerNow();
    } catch (error) {
      notice(`The thinking could not be ended: ${error.message}`);
    }
  }

  /** Answers the last question again. */
  regenerate() {
    if (!this.run) this.#askInstead(null);
  }

  /** Edits the last question; gives whether there is one. */
  editLast() {
    const last = this.#turns.findLast((turn) => turn instanceof Question);
    if (!last || this.run) return false;
    last.edit();
    return true;
  }

  toggleThought() {
    this.#turns.findLast((turn) => turn instanceof Turn)?.thought.toggle();
  }

  #askInstead(text) {
    const before = takeBackQuestion(this.conversation);
    if (before === null) return;
    for (const turn of this.#turns.splice(this.conversation.messages.length)) turn.element.remove();
    this.ask(text ?? before);
    this.composer.focus();
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroll;
    return scrollHeight - scrollTop - clientHeight < 48;
  }

  #scrollToEnd() {
    this.scroll.scrollTop = this.#turns.length > 0 ? this.scroll.scrollHeight : 0;
    this.#showEndButton();
  }

  #showEndButton() {
    this.toEnd.hidden = this.#turns.length === 0 || this.#isAtEnd();
  }
}

/** A conversation that is stored once something was asked. */
export function fresh() {
  return newConversation(randomId(), Date.now());
}

/** Not `randomUUID`, which pages have only on secure origins. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

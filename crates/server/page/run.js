// One request under way: reads the stream into an answer and tells whoever looks.

import { ApiError, answerNow, complete } from "./api.js";
import { announce } from "./announce.js";
import { addChunk, finish, newAnswer, phase } from "./answer.js";
import { budget } from "./effort.js";
import { plain } from "./markdown.js";

export class Run {
  #abort = new AbortController();
  #watchers = new Set();
  #isDrawing = false;

  /** `settings` are those of the request; `model` is what the server says of the model. */
  constructor(settings, model) {
    this.answer = newAnswer({
      now: Date.now(),
      budget: budget(settings, model),
      votes: settings.votes,
      model: settings.model,
      effort: settings.effort,
    });
  }

  /** Calls `changed` at most once per frame, and at the end. */
  watch(changed) {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** Asks, and reads to the end, whatever that is; never throws. */
  async start(body) {
    announce("Asked.");
    let last = "waiting";
    try {
      for await (const chunk of complete(body, this.#abort.signal)) {
        addChunk(this.answer, chunk, Date.now());
        const now = phase(this.answer);
        if (now === "thinking" && last !== now) announce("Thinking.");
        last = now;
        this.#changed();
      }
      finish(this.answer, "done", Date.now());
      announce(plain(this.answer.content) || "The answer is complete.");
    } catch (error) {
      // A page that is left loses its connections before it is told so. While this waits it goes, and
      // what is stored is an answer that was stopped.
      if (error.status === 0) await new Promise((resolve) => setTimeout(resolve, 250));
      this.#fail(error);
    }
    for (const changed of this.#watchers) changed();
    return this.answer;
  }

  #fail(error) {
    if (this.#abort.signal.aborted) {
      finish(this.answer, "stopped", Date.now());
      announce("Stopped.");
      return;
    }
    const known = error instanceof ApiError ? error : new ApiError({ message: `This page failed: ${error.message}` });
    finish(this.answer, "failed", Date.now(), known);
  }

  #changed() {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      if (this.answer.state === "running") for (const changed of this.#watchers) changed();
    });
  }

  /** Whether the thinking can be ended: while there is nothing of the answer, and there is something to end. */
  get canAnswerNow() {
    const now = phase(this.answer);
    const isVoting = this.answer.votesAsked > 1 && now === "waiting";
    return this.answer.id !== null && (now === "thinking" || isVoting);
  }

  /** Ends the thinking. */
  async answerNow() {
    if (!this.canAnswerNow) return;
    announce("Answering now.");
    try {
      await answerNow(this.answer.id);
    } catch (error) {
      // An answer that has just ended thinks no more, which is what was wanted.
      if (error.status !== 404 && error.status !== 409) throw error;
    }
  }

  /** Ends the answer. */
  stop() {
    this.#abort.abort();
  }
}

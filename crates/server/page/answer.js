// An answer while it comes: what the chunks of a stream add up to. Pure.

/** An answer of which nothing is there. `budget` is the most tokens of thought, or null. */
export function newAnswer({ now, budget = null, votes = 1, model = null, effort = null }) {
  return {
    id: null,
    model,
    effort,
    budget,
    votesAsked: votes,
    state: "running", // running | done | stopped | failed
    progress: null,
    reasoning: "",
    content: "",
    toolCalls: [],
    thinkingPieces: 0,
    answerPieces: 0,
    finishReason: null,
    stoppedBy: null,
    endedBy: null,
    usage: null,
    timings: null,
    votes: null,
    error: null,
    startedAt: now,
    firstAt: null,
    wordAt: null,
    endedAt: null,
  };
}

const text = (value) => (typeof value === "string" ? value : "");
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/** Adds a chunk of the stream, which may hold anything. */
export function addChunk(answer, chunk, now) {
  if (chunk === null || typeof chunk !== "object") return;
  answer.id ??= typeof chunk.id === "string" ? chunk.id : null;
  answer.model = typeof chunk.model === "string" ? chunk.model : answer.model;
  if (chunk.prompt_progress) answer.progress = progress(chunk.prompt_progress);
  const choice = Array.isArray(chunk.choices) ? chunk.choices[0] : undefined;
  if (choice) addDelta(answer, choice.delta ?? {}, now);
  answer.finishReason = choice?.finish_reason ?? answer.finishReason;
  answer.stoppedBy = choice?.ended_by ?? answer.stoppedBy;
  answer.endedBy = choice?.reasoning_ended_by ?? chunk.reasoning_ended_by ?? answer.endedBy;
  answer.usage = usage(chunk.usage) ?? answer.usage;
  answer.timings = timings(chunk.timings) ?? answer.timings;
  answer.votes = votes(chunk.votes ?? choice?.votes) ?? answer.votes;
}

function addDelta(answer, delta, now) {
  const reasoning = text(delta.reasoning_content) || text(delta.reasoning);
  if (reasoning) {
    answer.reasoning += reasoning;
    answer.thinkingPieces += 1;
  }
  const content = text(delta.content) || text(delta.refusal);
  if (content) {
    answer.content += content;
    answer.answerPieces += 1;
  }
  const calls = Array.isArray(delta.tool_calls) ? delta.tool_calls : [];
  for (const call of calls) addCall(answer, call);
  if (reasoning || content || calls.length > 0) answer.firstAt ??= now;
  if (content || calls.length > 0) answer.wordAt ??= now;
}

/** Calls come whole or in pieces, told apart by their index, one after the other. */
function addCall(answer, piece) {
  if (piece === null || typeof piece !== "object") return;
  const index = Number.isInteger(piece.index) ? piece.index : answer.toolCalls.length;
  if (index < 0 || index > answer.toolCalls.length) return;
  if (index === answer.toolCalls.length) answer.toolCalls.push({ id: "", name: "", arguments: "" });
  const call = answer.toolCalls[index];
  call.id = text(piece.id) || call.id;
  call.name += text(piece.function?.name);
  call.arguments += text(piece.function?.arguments);
}

function progress(from) {
  const done = number(from.processed ?? from.done);
  const total = number(from.total);
  const cached = number(from.cached ?? from.cache) ?? 0;
  return done !== null && total > 0 ? { done: Math.min(done, total), total, cached } : null;
}

function usage(from) {
  if (!from || typeof from !== "object") return null;
  return {
    prompt: number(from.prompt_tokens) ?? 0,
    cached: number(from.prompt_tokens_details?.cached_tokens) ?? 0,
    completion: number(from.completion_tokens) ?? 0,
    reasoning: number(from.completion_tokens_details?.reasoning_tokens) ?? 0,
  };
}

function timings(from) {
  if (!from || typeof from !== "object") return null;
  return {
    ttft: number(from.ttft_s),
    ttfo: number(from.ttfo_s),
    decode: number(from.predicted_per_second ?? from.decode_tps),
  };
}

function votes(from) {
  if (!Array.isArray(from?.tally)) return null;
  const tally = from.tally
    .filter((one) => typeof one?.answer === "string" && number(one.votes) !== null)
    .map((one) => ({ answer: one.answer, votes: one.votes }));
  const asked = number(from.asked) ?? tally.reduce((sum, one) => sum + one.votes, 0);
  return { asked, complete: number(from.complete) ?? asked, tally, settledEarly: from.settled_early === true };
}

/** The end, whichever it was. */
export function finish(answer, state, now, error = null) {
  answer.state = state;
  answer.endedAt = now;
  answer.error = error && { message: error.message, status: error.status ?? null, param: error.param ?? null, retryAfter: error.retryAfter ?? null };
}

/** What is going on: waiting | reading | thinking | answering | done | stopped | failed. */
export function phase(answer) {
  if (answer.state !== "running") return answer.state;
  if (answer.content || answer.toolCalls.length > 0) return "answering";
  if (answer.reasoning) return "thinking";
  return answer.progress && answer.progress.done < answer.progress.total ? "reading" : "waiting";
}

/** Tokens of thought: counted by the server once it is done, till then by the pieces that came. */
export function thinkingTokens(answer) {
  return answer.usage?.reasoning ?? answer.thinkingPieces;
}

/** Seconds to the first token, to the first that is not thinking, and tokens per second; null where unknown. */
export function speeds(answer) {
  const since = (at) => (at === null ? null : (at - answer.startedAt) / 1000);
  const spent = answer.endedAt !== null && answer.firstAt !== null ? (answer.endedAt - answer.firstAt) / 1000 : 0;
  const produced = (answer.usage?.completion ?? 0) - 1;
  return {
    ttft: answer.timings?.ttft ?? since(answer.firstAt),
    ttfo: answer.timings ? answer.timings.ttfo : since(answer.wordAt),
    decode: answer.timings?.decode ?? (spent > 0 && produced > 0 ? produced / spent : null),
  };
}

/** How a thought ended, to be read behind "Thought for …"; null where the model did it by itself. */
export function endedInWords(answer) {
  return (
    {
      budget: "until its budget was used",
      deadline: "until its time was up",
      early_exit: "until the answer was settled",
      loop: "until it repeated itself",
      user: "until you asked for the answer",
    }[answer.endedBy] ?? null
  );
}

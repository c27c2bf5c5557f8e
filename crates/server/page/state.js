// Conversations and settings as data: what is stored, and what may be done with it. Pure.
//
// Everything that was stored is read as if somebody else had written it.

import { LEVELS } from "./effort.js";

export const DEFAULT_SETTINGS = Object.freeze({
  model: null,
  effort: "medium",
  system: "",
  systemRole: "system",
  temperature: null,
  topP: null,
  seed: null,
  maxTokens: null,
  budgetTokens: null,
  deadlineSeconds: null,
  votes: 1,
  enterSends: true,
});

/** What each number may be: least, most, and whether it is whole. */
export const LIMITS = Object.freeze({
  temperature: [0, 2, false],
  topP: [0, 1, false],
  seed: [0, Number.MAX_SAFE_INTEGER, true],
  maxTokens: [1, 10_000_000, true],
  budgetTokens: [0, 10_000_000, true],
  deadlineSeconds: [0.1, 86_400, false],
  votes: [1, 32, true],
});

const isText = (value) => typeof value === "string";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** What is wrong with a number for a setting; null where nothing is. */
export function numberFault(name, value) {
  const [least, most, isWhole] = LIMITS[name];
  if (!isNumber(value)) return "This is not a number.";
  if (isWhole && !Number.isInteger(value)) return "This must be a whole number.";
  if (value < least) return `This must be at least ${least}.`;
  if (value > most) return `This must be at most ${most}.`;
  return null;
}

/** Settings from what was stored; whatever is wrong becomes the default. */
export function readSettings(stored) {
  const settings = { ...DEFAULT_SETTINGS };
  if (!isRecord(stored)) return settings;
  for (const name of Object.keys(LIMITS)) {
    if (numberFault(name, stored[name]) === null) settings[name] = stored[name];
  }
  if (isText(stored.model)) settings.model = stored.model;
  if (LEVELS.some((level) => level.id === stored.effort)) settings.effort = stored.effort;
  if (isText(stored.system)) settings.system = stored.system;
  if (["system", "developer"].includes(stored.systemRole)) settings.systemRole = stored.systemRole;
  if (typeof stored.enterSends === "boolean") settings.enterSends = stored.enterSends;
  return settings;
}

/** A conversation in which nothing was said. */
export function newConversation(id, now) {
  return { id, title: "", created: now, updated: now, messages: [] };
}

/** A conversation from what was stored or imported; null where it is none. */
export function readConversation(stored) {
  if (!isRecord(stored) || !isText(stored.id) || !/^[\w-]{1,64}$/.test(stored.id) || !Array.isArray(stored.messages)) return null;
  const messages = stored.messages.map(readMessage);
  if (messages.includes(null)) return null;
  const time = (value) => (isNumber(value) ? value : 0);
  return { id: stored.id, title: isText(stored.title) ? stored.title : "", created: time(stored.created), updated: time(stored.updated), messages };
}

function readMessage(stored) {
  if (!isRecord(stored)) return null;
  if (stored.role === "user" && isText(stored.text)) return { role: "user", text: stored.text };
  if (stored.role === "assistant" && isRecord(stored.answer)) {
    const answer = readAnswer(stored.answer);
    return answer && { role: "assistant", answer };
  }
  return null;
}

const SHAPES = {
  id: isText,
  model: isText,
  effort: isText,
  budget: isNumber,
  votesAsked: isNumber,
  thinkingPieces: isNumber,
  answerPieces: isNumber,
  finishReason: isText,
  stoppedBy: isText,
  endedBy: isText,
  startedAt: isNumber,
  firstAt: isNumber,
  wordAt: isNumber,
  endedAt: isNumber,
  usage: (value) => isRecord(value) && ["prompt", "cached", "completion", "reasoning"].every((name) => isNumber(value[name])),
  timings: (value) => isRecord(value) && Object.values(value).every((one) => one === null || isNumber(one)),
  votes: (value) => isRecord(value) && Array.isArray(value.tally) && value.tally.every((one) => isRecord(one) && isText(one.answer) && isNumber(one.votes)),
  error: (value) => isRecord(value) && isText(value.message),
};

function readAnswer(stored) {
  if (!isText(stored.reasoning) || !isText(stored.content)) return null;
  const answer = { reasoning: stored.reasoning, content: stored.content, progress: null };
  for (const [name, fits] of Object.entries(SHAPES)) answer[name] = fits(stored[name]) ? stored[name] : null;
  answer.thinkingPieces ??= 0;
  answer.votesAsked ??= 1;
  answer.startedAt ??= 0;
  // One that was running when the page was left runs no more.
  answer.state = ["done", "failed"].includes(stored.state) ? stored.state : "stopped";
  const isCall = (call) => isRecord(call) && isText(call.id) && isText(call.name) && isText(call.arguments);
  answer.toolCalls = Array.isArray(stored.toolCalls) ? stored.toolCalls.filter(isCall) : [];
  return answer;
}

/** What a conversation is called: its own name, or its first words. */
export function titleOf(conversation) {
  if (conversation.title) return conversation.title;
  const first = conversation.messages.find((message) => message.role === "user");
  const words = (first?.text ?? "").trim().replace(/\s+/g, " ");
  if (words === "") return "New conversation";
  return words.length > 60 ? `${[...words].slice(0, 59).join("")}…` : words;
}

/** Takes away everything from the last question on, and gives that question; null where there is none. */
export function takeBackQuestion(conversation) {
  const at = conversation.messages.findLastIndex((message) => message.role === "user");
  return at < 0 ? null : conversation.messages.splice(at)[0].text;
}

/** The messages of a conversation as the API has them, the system message first. */
export function apiMessages(conversation, settings) {
  const messages = systemMessages(settings);
  for (const message of conversation.messages) {
    if (message.role === "user") messages.push({ role: "user", content: message.text });
    else if (message.answer.content || message.answer.toolCalls.length > 0) messages.push(assistantMessage(message.answer));
  }
  return messages;
}

/** The system or developer message, if there is one. */
export function systemMessages(settings) {
  return settings.system.trim() === "" ? [] : [{ role: settings.systemRole, content: settings.system }];
}

/** An answer as a message of the next request. What it thought is sent too: the model's template says what stays. */
export function assistantMessage(answer) {
  const message = { role: "assistant", content: answer.content };
  if (answer.reasoning) message.reasoning_content = answer.reasoning;
  if (answer.toolCalls.length > 0) {
    message.tool_calls = answer.toolCalls.map((call) => ({ id: call.id, type: "function", function: { name: call.name, arguments: call.arguments } }));
  }
  return message;
}

/** The body of a request. */
export function requestBody(settings, messages, extra = {}) {
  const thinking = {};
  if (settings.budgetTokens !== null && settings.effort !== "none") thinking.budget_tokens = settings.budgetTokens;
  if (settings.votes > 1) thinking.votes = settings.votes;
  const optional = {
    temperature: settings.temperature,
    top_p: settings.topP,
    seed: settings.seed,
    max_completion_tokens: settings.maxTokens,
    deadline_seconds: settings.deadlineSeconds,
    thinking: Object.keys(thinking).length > 0 ? thinking : null,
  };
  return {
    model: settings.model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    prompt_progress: true,
    reasoning_effort: settings.effort,
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== null)),
    ...extra,
  };
}

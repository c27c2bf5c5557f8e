// The server's API, as this page uses it.

import { events } from "./sse.js";

/** What the server, or the way to it, answers instead of what was asked for. */
export class ApiError extends Error {
  constructor({ status = 0, message, code = null, param = null, retryAfter = null }) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfter = retryAfter;
  }

  /** From the JSON of an error, whatever there is of it. */
  static from(error, status = 0, retryAfter = null) {
    const text = (value) => (typeof value === "string" && value !== "" ? value : null);
    const message = text(error?.message) ?? text(error) ?? `The server answered with status ${status}.`;
    return new ApiError({ status, message, code: text(error?.code) ?? text(error?.type), param: text(error?.param), retryAfter });
  }
}

const KEY = "ponder.key";
let key = null;

/** The API key of this session; it never goes into lasting storage. */
export function setKey(value) {
  key = value || null;
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Without storage the key lives as long as the page.
  }
}

function currentKey() {
  if (key === null) {
    try {
      key = sessionStorage.getItem(KEY);
    } catch {
      key = null;
    }
  }
  return key;
}

/** Asks the user for a key, if the page has said how; gives whether there is a new one. */
let askForKey = async () => false;
export function onKeyNeeded(ask) {
  askForKey = ask;
}

async function request(path, options = {}) {
  for (;;) {
    const headers = { ...(options.body ? { "content-type": "application/json" } : {}) };
    const bearer = currentKey();
    if (bearer) headers.authorization = `Bearer ${bearer}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, credentials: "omit", redirect: "error" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError({ message: "The server cannot be reached." });
    }
    if (response.ok) return response;
    if (response.status === 401 && (await askForKey(Boolean(bearer)))) continue;
    throw await failure(response);
  }
}

async function failure(response) {
  const retryAfter = Number(response.headers.get("retry-after")) || null;
  let body = null;
  try {
    body = await response.json();
  } catch {
    // Something between this page and the server may answer in its own way.
  }
  return ApiError.from(body?.error, response.status, retryAfter);
}

/** The models that can be asked. */
export async function models() {
  const body = await (await request("/v1/models")).json();
  const list = Array.isArray(body?.data) ? body.data : [];
  return list.filter((model) => typeof model?.id === "string");
}

/** The chunks of an answer as they come; throws an {@link ApiError}, or an `AbortError` after `signal`. */
export async function* complete(body, signal) {
  const response = await request("/v1/chat/completions", { method: "POST", body: JSON.stringify(body), signal });
  for await (const data of cut(events(response.body))) {
    if (data === "[DONE]") return;
    let chunk;
    try {
      chunk = JSON.parse(data);
    } catch {
      throw new ApiError({ message: "The server sent something that is not JSON." });
    }
    if (chunk?.error) throw ApiError.from(chunk.error, chunk.error.status ?? 500);
    yield chunk;
  }
  throw new ApiError({ message: "The connection ended before the answer did." });
}

/** The same events, with a connection that breaks as an {@link ApiError}. */
async function* cut(stream) {
  try {
    yield* stream;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ message: "The connection broke before the answer was complete." });
  }
}

/** Ends the thinking of a running answer, not the answer. */
export async function answerNow(id) {
  await request(`/v1/chat/completions/${encodeURIComponent(id)}/answer_now`, { method: "POST" });
}

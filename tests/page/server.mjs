// A real server, and one before it that answers some questions in its own words.

import { spawn } from "node:child_process";
import http from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const PONDER = process.env.PONDER ?? fileURLToPath(new URL("../../target/debug/ponder", import.meta.url));

/** Starts `ponder serve` with the model in the program; gives its address and how to end it. */
export async function startPonder(...more) {
  const child = spawn(PONDER, ["serve", "-m", "default", "--port", "0", "--json", ...more], { stdio: ["ignore", "pipe", "inherit"] });
  const gone = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`ponder serve ended with ${code} before it was ready`)));
  });
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line).url;
  })();
  const url = new URL(await Promise.race([ready, gone])).origin;
  gone.catch(() => {});
  const stop = async () => {
    const exit = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exit;
  };
  return { url, stop };
}

/**
 * A server that hands everything on to `upstream`, but for questions while `script` is set: then
 * `script(body, say)` answers, where `say.delta`, `say.chunk`, `say.fail` and `say.cut` write and
 * `say.isAsked` tells whether the answer was asked for.
 */
export async function startScripted(upstream) {
  const asked = new Set();
  const scripted = { script: null, bodies: [], stop: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) };
  const server = http.createServer(async (request, response) => {
    try {
      const id = /^\/v1\/chat\/completions\/(scripted-\d+)\/answer_now$/.exec(request.url)?.[1];
      if (id) {
        asked.add(id);
        response.writeHead(200, { "content-type": "application/json" }).end("{}");
      } else if (scripted.script && request.url === "/v1/chat/completions") {
        await answer(request, response, scripted, asked);
      } else {
        await handOn(request, response, upstream);
      }
    } catch {
      response.destroy();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  scripted.url = `http://127.0.0.1:${server.address().port}`;
  return scripted;
}

let lastId = 0;

async function answer(request, response, scripted, asked) {
  let text = "";
  for await (const piece of request) text += piece;
  const body = JSON.parse(text);
  scripted.bodies.push(body);
  lastId += 1;
  const id = `scripted-${lastId}`;
  const begin = () => response.headersSent || response.writeHead(200, { "content-type": "text/event-stream" });
  const chunk = (more) => {
    begin();
    response.write(`data: ${JSON.stringify({ id, object: "chat.completion.chunk", model: body.model, choices: [], ...more })}\n\n`);
  };
  const say = {
    chunk,
    delta: (delta, more = {}) => chunk({ choices: [{ index: 0, delta, finish_reason: null, ...more }] }),
    fail: (status, error, headers = {}) => response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify({ error })),
    cut: () => response.destroy(),
    sleep,
    isAsked: () => asked.has(id),
    isGone: () => response.destroyed,
  };
  await scripted.script(body, say);
  if (!response.writableEnded && !response.destroyed) response.end("data: [DONE]\n\n");
}

function handOn(request, response, upstream) {
  return new Promise((resolve, reject) => {
    const { method, headers } = request;
    const onward = http.request(upstream + request.url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
      answer.once("end", resolve);
      answer.once("error", reject);
    });
    onward.once("error", reject);
    response.once("close", () => onward.destroy());
    request.pipe(onward);
  });
}

/** The end of an answer, with what it cost. */
export function end(say, { reason = "stop", by = "model", reasoning = 0, completion = 1 } = {}) {
  const usage = { prompt_tokens: 40, completion_tokens: completion, prompt_tokens_details: { cached_tokens: 16 }, completion_tokens_details: { reasoning_tokens: reasoning } };
  say.delta({}, { finish_reason: reason, reasoning_ended_by: by });
  say.chunk({ usage });
}

/** Thinks until the answer is asked for, then answers. */
export async function thinkLong(body, say) {
  for (const processed of [16, 28, 40]) {
    say.chunk({ prompt_progress: { processed, total: 40, cached: 16 } });
    await say.sleep(60);
  }
  const words = "17 + 25 × 3: first the product, 25 × 3 = 75, then 17 + 75 = 92.\nOnce more, by another way: 3 × 25 is 75, and 92 − 75 is 17, right.\n".split(/(?<= )/);
  let n = 0;
  while (!say.isAsked() && !say.isGone()) {
    say.delta({ reasoning_content: words[n % words.length] });
    n += 1;
    await say.sleep(20);
  }
  say.delta({ content: "The answer is **92**." });
  end(say, { by: "user", reasoning: n, completion: n + 7 });
}

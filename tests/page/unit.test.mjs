// The page's pure modules.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

const page = (name) => import(new URL(`../../crates/server/page/${name}`, import.meta.url));
const { EventParser } = await page("sse.js");
const { parse, plain } = await page("markdown.js");
const { inline, safeHref } = await page("inline.js");
const { addChunk, endedInWords, finish, newAnswer, phase, speeds, thinkingTokens } = await page("answer.js");
const state = await page("state.js");
const { validate } = await page("validate.js");
const { advice, split } = await page("advice.js");
const { budget, meaning } = await page("effort.js");
const format = await page("format.js");

/** A text without its structure. */
function flat(node) {
  if (typeof node === "string") return node;
  if (Array.isArray(node)) return node.map(flat).join("");
  return node.text ?? flat(node.children ?? node.items ?? [node.head, node.rows].filter(Boolean));
}

describe("events", () => {
  const stream = 'data: {"a":1}\r\n\r\n: a comment\n\nevent: x\ndata: one\ndata:two\n\ndata: [DONE]\n\n';

  test("are the same however the text is cut", () => {
    const whole = new EventParser().push(stream);
    assert.deepEqual(whole, ['{"a":1}', "one\ntwo", "[DONE]"]);
    for (let size = 1; size < stream.length; size += 1) {
      const parser = new EventParser();
      const events = [];
      for (let at = 0; at < stream.length; at += size) events.push(...parser.push(stream.slice(at, at + size)));
      assert.deepEqual(events, whole, `pieces of ${size}`);
    }
  });

  test("that are not complete are not given", () => {
    const parser = new EventParser();
    assert.deepEqual(parser.push("data: half"), []);
    assert.deepEqual(parser.push("\n"), []);
    assert.deepEqual(parser.push("\n"), ["half"]);
  });

  test("without end are refused", () => {
    const parser = new EventParser();
    const piece = "x".repeat(1 << 20);
    assert.throws(() => {
      for (let i = 0; i < 20; i += 1) parser.push(piece);
    }, /without end/);
  });
});

describe("markdown", () => {
  const types = (text) => parse(text).map((block) => block.type);

  test("blocks are told apart", () => {
    const text = "# A\ntext\nmore\n\n---\n> quoted\n\n- one\n- two\n\n```js\nlet a = `1`;\n```\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\nend";
    assert.deepEqual(types(text), ["heading", "paragraph", "rule", "quote", "list", "code", "table", "paragraph"]);
    assert.equal(parse("```js\nlet a;\n\n  b\n```")[0].text, "let a;\n\n  b");
    assert.deepEqual(parse("## T ##")[0], { type: "heading", level: 2, children: ["T"] });
    assert.deepEqual(parse("# C#")[0].children, ["C#"]);
  });

  test("a fence that is still being written holds the rest", () => {
    assert.deepEqual(parse("```\na\n# b"), [{ type: "code", language: "", text: "a\n# b" }]);
  });

  test("lists nest, and an item holds more than a line", () => {
    const [list] = parse("1. one\n   - inner\n   - inner two\n2. two\n\n   more of two\n3. three");
    assert.equal(list.items.length, 3);
    assert.equal(list.isOrdered, true);
    assert.deepEqual(list.items[0].map((block) => block.type), ["paragraph", "list"]);
    assert.deepEqual(list.items[1].map((block) => block.type), ["paragraph", "paragraph"]);
    assert.equal(parse("7. seven\n8. eight")[0].start, 7);
  });

  test("tables keep their shape where rows do not", () => {
    const [table] = parse("| a | b |\n|---|--:|\n| 1 |\n| 1 | 2 | 3 |\n| x\\|y | z |");
    assert.deepEqual(table.align, [null, "right"]);
    assert.deepEqual(table.rows.map((row) => row.map(flat)), [["1", ""], ["1", "2"], ["x|y", "z"]]);
  });

  test("emphasis, code and line ends", () => {
    const [paragraph] = parse("a **b *c* d** `e*f*` ~~g~~\nnext");
    assert.deepEqual(
      paragraph.children.map((one) => one.type ?? "text"),
      ["text", "strong", "text", "code", "text", "strike", "break", "text"],
    );
    assert.equal(flat(paragraph.children[1]), "b c d");
    assert.deepEqual(inline("``a ` b``"), [{ type: "code", text: "a ` b" }]);
    assert.deepEqual(inline("***both***").map(flat), ["both"]);
  });

  test("products and names stay as they are", () => {
    for (const text of ["2*3*4 = 24", "2 * 3 * 4", "snake_case_name", "a * b", "**", "* *", "__init__x", "5 ** 2"]) {
      assert.deepEqual(inline(text), [text]);
    }
    assert.deepEqual(inline("\\*not\\* and \\(x\\)"), ["*not* and \\(x\\)"]);
  });

  test("only addresses of pages and letters are links", () => {
    assert.deepEqual(inline("[a](https://example.org/b)"), [{ type: "link", href: "https://example.org/b", children: ["a"] }]);
    for (const href of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/etc/passwd", "vbscript:x", "file:///x", "java\nscript:x", " javascript:x"]) {
      assert.equal(safeHref(href), null, href);
      const pieces = inline(`[a](${href})`);
      assert.ok(pieces.every((piece) => piece.type !== "link"), href);
    }
    assert.equal(inline("see https://example.org/a_b, or")[1].href, "https://example.org/a_b");
    // A picture would be a request to somewhere else.
    assert.equal(inline("![x](https://example.org/x.png)")[0].type, "link");
  });

  test("markup is text", () => {
    const text = '<img src=x onerror=alert(1)> <script>alert(1)</script> <a href="javascript:x">y</a>';
    assert.deepEqual(parse(text), [{ type: "paragraph", children: [text] }]);
  });

  test("every beginning of a text can be shown, and loses none of its words", () => {
    const text = "# T\n\n1. **a `b` c**\n   - d [e](https://x.org) *f\n\n> g ~~h~~\n\n| i | j |\n|---|---|\n| k | l |\n\n```\nm\n```\n\\n";
    for (let end = 0; end <= text.length; end += 1) {
      const shown = flat(parse(text.slice(0, end)));
      for (const word of text.slice(0, end).match(/\b[a-m]\b/g) ?? []) assert.ok(shown.includes(word), `${word} of ${end}`);
    }
  });

  test("is read aloud without its marks", () => {
    const text = "# A **b**\n\n- c `d`\n- e\n\n> f\ng\n\n---\n\n| h | i |\n|---|---|\n| j | [k](https://x.org) |\n\n```\nl\n```";
    assert.equal(plain(text), "A b\nc d\ne\nf\ng\nh, i\nj, k\nl");
  });

  test("what is made to take long does not", () => {
    const n = 50_000;
    const hostile = ["*", "_", "`", "[", "](", "![", "**a ", "_a ", "a_", "> ", "- ", "  - a\n", "#", "|", "| a\n|-", "~", "h", "\\", "1. ", "``a`", "[a](", "https://", "# a ", "\n>"];
    for (const piece of hostile) {
      const start = performance.now();
      parse(piece.repeat(n / piece.length));
      parse(`# a${" ".repeat(n)}b ${piece}`);
      const spent = performance.now() - start;
      assert.ok(spent < 3000, `${JSON.stringify(piece)} took ${spent} ms`);
    }
  });
});

describe("an answer", () => {
  const chunk = (delta, more = {}) => ({ id: "chatcmpl-1", model: "m", choices: [{ index: 0, delta, finish_reason: null }], ...more });

  test("is what its chunks add up to", () => {
    const answer = newAnswer({ now: 1000, budget: 10 });
    assert.equal(phase(answer), "waiting");
    addChunk(answer, { id: "chatcmpl-1", choices: [], prompt_progress: { processed: 5, total: 10, cached: 3 } }, 1100);
    assert.equal(phase(answer), "reading");
    addChunk(answer, chunk({ role: "assistant", content: "" }), 1150);
    // Both names of the thinking hold the same.
    addChunk(answer, chunk({ reasoning_content: "a", reasoning: "a" }), 1200);
    addChunk(answer, chunk({ reasoning: "b" }), 1250);
    assert.equal(phase(answer), "thinking");
    assert.equal(thinkingTokens(answer), 2);
    addChunk(answer, chunk({ content: "c" }), 1300);
    assert.equal(phase(answer), "answering");
    addChunk(answer, { ...chunk({}), choices: [{ index: 0, delta: {}, finish_reason: "stop", reasoning_ended_by: "user" }] }, 1400);
    addChunk(answer, { choices: [], usage: { prompt_tokens: 10, completion_tokens: 8, prompt_tokens_details: { cached_tokens: 3 }, completion_tokens_details: { reasoning_tokens: 5 } } }, 1400);
    finish(answer, "done", 1900);
    assert.equal(answer.id, "chatcmpl-1");
    assert.deepEqual([answer.reasoning, answer.content, answer.finishReason], ["ab", "c", "stop"]);
    assert.deepEqual(answer.usage, { prompt: 10, cached: 3, completion: 8, reasoning: 5 });
    assert.equal(thinkingTokens(answer), 5);
    assert.equal(endedInWords(answer), "until you asked for the answer");
    assert.deepEqual(speeds(answer), { ttft: 0.2, ttfo: 0.3, decode: 10 });
    addChunk(answer, { choices: [], timings: { ttft_s: 0.1, ttfo_s: null, predicted_per_second: 20 } }, 1900);
    assert.deepEqual(speeds(answer), { ttft: 0.1, ttfo: null, decode: 20 });
  });

  test("takes calls whole and in pieces", () => {
    const answer = newAnswer({ now: 0 });
    addChunk(answer, chunk({ tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "f", arguments: '{"a"' } }] }), 1);
    addChunk(answer, chunk({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }), 2);
    addChunk(answer, chunk({ tool_calls: [{ index: 1, id: "call_2", function: { name: "g", arguments: "{}" } }] }), 3);
    assert.deepEqual(answer.toolCalls, [
      { id: "call_1", name: "f", arguments: '{"a":1}' },
      { id: "call_2", name: "g", arguments: "{}" },
    ]);
    assert.equal(phase(answer), "answering");
  });

  test("is not troubled by chunks of any form", () => {
    const answer = newAnswer({ now: 0 });
    const odd = [null, 1, "x", [], {}, { choices: null }, { choices: [null] }, { choices: [{ delta: null }] }, { choices: [{ delta: { content: 1, reasoning: {}, tool_calls: "x" } }] }, { choices: [{ delta: { tool_calls: [null, { index: -1 }, { index: 1e9 }] } }] }, { usage: 1, timings: [], votes: { tally: [{}] }, prompt_progress: { total: -1 } }];
    for (const one of odd) addChunk(answer, one, 1);
    assert.equal(answer.content + answer.reasoning, "");
    assert.deepEqual(answer.votes?.tally, []);
  });
});

describe("what is stored", () => {
  const conversation = () => {
    const answer = newAnswer({ now: 1 });
    addChunk(answer, { id: "x", choices: [{ delta: { reasoning_content: "r", content: "c" } }] }, 2);
    finish(answer, "done", 3);
    return { id: "a1", title: "", created: 1, updated: 2, messages: [{ role: "user", text: "q" }, { role: "assistant", answer }] };
  };

  test("is read as it was", () => {
    const stored = conversation();
    assert.deepEqual(state.readConversation(JSON.parse(JSON.stringify(stored))), stored);
  });

  test("is left out where it is something else", () => {
    const broken = [null, 1, "x", [], {}, { id: "a" }, { id: "../x", messages: [] }, { id: "a", messages: [{}] }, { id: "a", messages: [{ role: "user", text: 1 }] }, { id: "a", messages: [{ role: "assistant", answer: { content: "c" } }] }, { id: "a", messages: [{ role: "system", text: "x" }] }];
    for (const one of broken) assert.equal(state.readConversation(one), null, JSON.stringify(one));
  });

  test("keeps no part of a wrong type", () => {
    const stored = conversation();
    Object.assign(stored.messages[1].answer, { usage: { prompt: "many" }, votes: { tally: [null] }, toolCalls: [1, { id: "x" }], error: "x", timings: { ttft: {} }, endedAt: "now" });
    const { answer } = state.readConversation(stored).messages[1];
    assert.deepEqual([answer.usage, answer.votes, answer.toolCalls, answer.error, answer.timings, answer.endedAt], [null, null, [], null, null, null]);
  });

  test("runs no more when it is read", () => {
    const stored = conversation();
    stored.messages[1].answer.state = "running";
    assert.equal(state.readConversation(stored).messages[1].answer.state, "stopped");
  });

  test("settings are the default where they are wrong", () => {
    assert.deepEqual(state.readSettings(undefined), state.DEFAULT_SETTINGS);
    const wrong = { effort: "huge", temperature: 3, seed: 1.5, maxTokens: "1", votes: 0, system: 1, systemRole: "user", enterSends: 1, __proto__: { model: 1 } };
    assert.deepEqual(state.readSettings(wrong), state.DEFAULT_SETTINGS);
    const right = { ...state.DEFAULT_SETTINGS, effort: "max", temperature: 0, seed: 7, budgetTokens: 0, votes: 5, systemRole: "developer" };
    assert.deepEqual(state.readSettings(right), right);
  });

  test("gives the title, and the last question back", () => {
    const stored = conversation();
    assert.equal(state.titleOf(stored), "q");
    stored.messages[0].text = `${"wörd ".repeat(30)}\n`;
    assert.ok(state.titleOf(stored).length <= 60);
    assert.equal(state.titleOf({ ...stored, title: "T" }), "T");
    assert.equal(state.takeBackQuestion(stored), `${"wörd ".repeat(30)}\n`);
    assert.deepEqual(stored.messages, []);
    assert.equal(state.takeBackQuestion(stored), null);
  });

  test("becomes a request", () => {
    const settings = { ...state.DEFAULT_SETTINGS, model: "m", system: "Be brief.", systemRole: "developer", seed: 7, temperature: 0, budgetTokens: 30, votes: 3, deadlineSeconds: 2.5, maxTokens: 99 };
    const messages = state.apiMessages(conversation(), settings);
    assert.deepEqual(messages, [
      { role: "developer", content: "Be brief." },
      { role: "user", content: "q" },
      { role: "assistant", content: "c", reasoning_content: "r" },
    ]);
    const body = state.requestBody(settings, messages, { tools: [] });
    assert.deepEqual(body.thinking, { budget_tokens: 30, votes: 3 });
    assert.deepEqual([body.seed, body.temperature, body.deadline_seconds, body.max_completion_tokens, body.reasoning_effort, body.stream], [7, 0, 2.5, 99, "medium", true]);
    const plain = state.requestBody({ ...state.DEFAULT_SETTINGS, model: "m" }, messages);
    for (const name of ["thinking", "seed", "temperature", "top_p", "deadline_seconds", "max_completion_tokens"]) assert.equal(name in plain, false, name);
  });
});

describe("a schema", () => {
  const fits = (schema, value) => validate(schema, value).faults.length === 0;

  test("holds its document to each keyword", () => {
    const cases = [
      [{ type: "integer" }, 1, 1.5],
      [{ type: ["string", "null"] }, null, 1],
      [{ enum: [1, { a: [2] }] }, { a: [2] }, { a: [3] }],
      [{ const: "x" }, "x", "y"],
      [{ required: ["a"] }, { a: 1 }, {}],
      [{ properties: { a: { type: "string" } } }, { a: "x" }, { a: 1 }],
      [{ properties: { a: {} }, additionalProperties: false }, { a: 1 }, { b: 1 }],
      [{ items: { minimum: 0 } }, [0, 1], [-1]],
      [{ prefixItems: [{ type: "string" }], items: false }, ["x"], ["x", 1]],
      [{ minLength: 2, maxLength: 3 }, "🙂🙂", "🙂"],
      [{ minItems: 1, maxItems: 2 }, [1], []],
      [{ minProperties: 1, maxProperties: 1 }, { a: 1 }, {}],
      [{ maximum: 5, exclusiveMinimum: 1 }, 5, 1],
      [{ exclusiveMaximum: 5 }, 4.9, 5],
      [{ multipleOf: 0.1 }, 0.3, 0.35],
      [{ uniqueItems: true }, [1, 2], [{ a: 1, b: 2 }, { b: 2, a: 1 }]],
      [{ pattern: "^a+$" }, "aa", "b"],
      [{ anyOf: [{ type: "string" }, { minimum: 3 }] }, "x", 2],
      [{ oneOf: [{ minimum: 3 }, { maximum: 5 }] }, 6, 4],
      [{ allOf: [{ minimum: 3 }, { maximum: 5 }] }, 4, 6],
      [{ not: { type: "null" } }, 1, null],
      [{ $ref: "#/$defs/a", $defs: { a: { type: "string" } } }, "x", 1],
      [{ properties: { next: { $ref: "#" } }, required: ["v"] }, { v: 1, next: { v: 2 } }, { v: 1, next: {} }],
    ];
    for (const [schema, good, bad] of cases) {
      assert.ok(fits(schema, good), `${JSON.stringify(schema)} takes ${JSON.stringify(good)}`);
      assert.ok(!fits(schema, bad), `${JSON.stringify(schema)} refuses ${JSON.stringify(bad)}`);
    }
  });

  test("says where a document does not fit, and what was not looked at", () => {
    const { faults, unchecked } = validate({ properties: { a: { items: { type: "string" } } }, format: "x", if: {} }, { a: ["x", 1] });
    assert.deepEqual(faults, ['item 2 of "a" of the document is not of type string']);
    assert.deepEqual(unchecked, ["format", "if"]);
    // In a circle, and of wrong forms.
    assert.ok(validate({ $ref: "#" }, 1).unchecked.length > 0);
    validate({ properties: 1, items: "x", required: 2, anyOf: {}, enum: 3, pattern: "(", prefixItems: 4, allOf: 5, oneOf: 6 }, { a: 1 });
  });
});

describe("words and numbers", () => {
  test("errors say what to do", () => {
    assert.deepEqual(split("too long; hint: begin anew"), { what: "too long", hint: "Begin anew." });
    assert.deepEqual(split("plain"), { what: "plain", hint: null });
    for (const status of [0, 400, 401, 404, 413, 429, 500, 503]) assert.ok(advice({ status, message: "x" }).length > 10);
    assert.match(advice({ status: 429, message: "x", retryAfter: 7 }), /in 7 s/);
    assert.equal(advice({ status: 400, message: "x hint: y" }), null);
  });

  test("effort says what it means on a model", () => {
    const model = { effort_levels: { low: { think_tokens: 128 }, max: { think_tokens: null } } };
    const settings = { ...state.DEFAULT_SETTINGS, effort: "low" };
    assert.equal(budget(settings, model), 128);
    assert.match(meaning(settings, model), /up to 128 tokens/);
    assert.equal(budget({ ...settings, budgetTokens: 7 }, model), 7);
    assert.equal(budget({ ...settings, effort: "max" }, model), null);
    assert.equal(budget({ ...settings, effort: "none", budgetTokens: 7 }, model), 0);
    assert.equal(budget(settings, null), null);
  });

  test("numbers are short", () => {
    assert.deepEqual([format.tokens(1), format.tokens(1234)], ["1 token", "1,234 tokens"]);
    assert.deepEqual([0.0001, 0.0234, 2.34, 125].map(format.seconds), ["under 1 ms", "23 ms", "2.3 s", "2 min 5 s"]);
    assert.deepEqual([3.14, 1234].map(format.speed), ["3.1 tok/s", "1,234 tok/s"]);
    assert.deepEqual([format.percent(1, 3), format.percent(1, 0)], ["33 %", "0 %"]);
  });
});

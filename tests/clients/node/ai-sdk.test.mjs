// The AI SDK with its provider for compatible servers.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { APICallError, Output, generateObject, generateText, isStepCount, streamText, tool } from 'ai';
import { z } from 'zod';

import { ANSWER, CALLER, ENDLESS, SUM, keyed, quiet, url } from './servers.mjs';

const provider = (more = {}) =>
  createOpenAICompatible({
    name: 'ponder',
    baseURL: url,
    includeUsage: true,
    supportsStructuredOutputs: true,
    ...more,
  });
const model = provider()('default');
const options = { model, maxRetries: 0, temperature: 0 };

test('a text comes with its reasoning', async () => {
  const result = await generateText({ ...options, prompt: SUM });
  assert.equal(result.text, ANSWER);
  assert.match(result.reasoningText, /12\+5=17/);
  assert.equal(result.finishReason, 'stop');
  assert.ok(result.usage.outputTokens > 0);
  assert.ok(result.usage.outputTokenDetails.reasoningTokens > 0);
});

test('effort is handed on', async () => {
  const providerOptions = { ponder: { reasoningEffort: 'none' } };
  const result = await generateText({ ...options, prompt: SUM, providerOptions });
  assert.equal(result.reasoningText, undefined);
  assert.ok(result.text);
});

test('reasoning is streamed before the text', async () => {
  const result = streamText({ ...options, prompt: SUM, instructions: 'Be brief.' });
  const kinds = [];
  let text = '';
  for await (const part of result.stream) {
    assert.notEqual(part.type, 'error');
    if (kinds.at(-1) !== part.type) kinds.push(part.type);
    if (part.type === 'text-delta') text += part.text;
  }
  const order = ['reasoning-start', 'reasoning-delta', 'reasoning-end', 'text-start', 'text-delta', 'text-end'];
  assert.deepEqual(kinds.filter((kind) => order.includes(kind)), order);
  assert.equal(text, await result.text);
  assert.ok((await result.usage).outputTokens > 0);
});

const Sum = z.object({ result: z.enum(['16', '17', '18']) });

test('an answer becomes an object', async () => {
  const first = await generateObject({ ...options, prompt: SUM, schema: Sum });
  assert.ok(Sum.safeParse(first.object).success);
  const second = await generateText({ ...options, prompt: SUM, output: Output.object({ schema: Sum }) });
  assert.ok(Sum.safeParse(second.output).success);
});

test('an object is streamed in parts', async () => {
  const result = streamText({ ...options, prompt: SUM, output: Output.object({ schema: Sum }) });
  let last;
  for await (const part of result.partialOutputStream) last = part;
  assert.ok(Sum.safeParse(last).success);
});

test('a tool is called and its result answered', async () => {
  const rooms = [];
  const lamp = tool({
    description: 'Whether the lamp of a room is on',
    inputSchema: z.object({ room: z.enum(['kitchen', 'hall']) }),
    execute: async ({ room }) => {
      rooms.push(room);
      return { on: true };
    },
  });
  const result = await generateText({
    ...options,
    model: provider()(CALLER),
    providerOptions: { ponder: { reasoningEffort: 'low' } },
    prompt: 'Is the lamp on?',
    tools: { lamp },
    stopWhen: isStepCount(2),
    // The first step calls, the second answers.
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? { type: 'tool', toolName: 'lamp' } : 'none' }),
  });
  assert.equal(result.steps.length, 2);
  assert.equal(result.steps[0].toolCalls[0].toolName, 'lamp');
  assert.ok(rooms.length > 0);
  assert.ok(result.text);
});

test('a tool call is streamed', async () => {
  const result = streamText({
    ...options,
    model: provider()(CALLER),
    providerOptions: { ponder: { reasoningEffort: 'low' } },
    prompt: 'Is the lamp on?',
    tools: { lamp: tool({ inputSchema: z.object({ room: z.enum(['kitchen', 'hall']) }) }) },
    toolChoice: { type: 'tool', toolName: 'lamp' },
  });
  const calls = [];
  for await (const part of result.stream) if (part.type === 'tool-call') calls.push(part);
  assert.equal(calls.length, 1);
  assert.ok(['kitchen', 'hall'].includes(calls[0].input.room));
  assert.equal(await result.finishReason, 'tool-calls');
});

test('an error is told', async () => {
  await assert.rejects(generateText({ ...options, prompt: SUM, temperature: 3 }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /temperature/);
    return true;
  });
  const stranger = provider({ baseURL: keyed.url, apiKey: 'wrong' })('default');
  await assert.rejects(generateText({ model: stranger, maxRetries: 0, prompt: SUM }), { statusCode: 401 });
});

test('an answer that is let go of is not made', async () => {
  const abortSignal = AbortSignal.timeout(100);
  // So many that they take longer than that.
  const providerOptions = { ponder: { ...ENDLESS, n: 32 } };
  await assert.rejects(generateText({ ...options, prompt: SUM, temperature: 1, abortSignal, providerOptions }));
  await quiet();
});

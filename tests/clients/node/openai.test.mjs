// The official client: chat completions and models.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { ANSWER, CALLER, ENDLESS, PLACES, SUM, busyUrl, keyed, quiet, says, url } from './servers.mjs';

const clientOf = (baseURL, apiKey = 'unused', more = {}) =>
  new OpenAI({ baseURL, apiKey, maxRetries: 0, ...more });
const client = clientOf(url);
const question = { model: 'default', messages: says(SUM), temperature: 0 };
const ask = (more) => client.chat.completions.create({ ...question, ...more });

test('an answer comes with its reasoning', async () => {
  const answer = await ask();
  const { message, finish_reason } = answer.choices[0];
  assert.equal(message.content, ANSWER);
  assert.match(message.reasoning_content, /12\+5=17/);
  assert.equal(finish_reason, 'stop');
  assert.ok(answer.usage.completion_tokens_details.reasoning_tokens > 0);
});

test('a stream says the same, the thought before the answer', async () => {
  const whole = await ask();
  const kinds = new Set();
  let content = '';
  let usage;
  for await (const chunk of await ask({ stream: true, stream_options: { include_usage: true } })) {
    const delta = chunk.choices[0]?.delta ?? {};
    if (delta.reasoning_content) kinds.add('reasoning');
    if (delta.content) kinds.add('content');
    content += delta.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.deepEqual([...kinds], ['reasoning', 'content']);
  assert.equal(content, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test('the helper tells events and puts the answer together', async () => {
  const deltas = [];
  const stream = client.chat.completions
    .stream(question)
    .on('content', (delta) => deltas.push(delta));
  assert.equal(await stream.finalContent(), ANSWER);
  assert.equal(deltas.join(''), ANSWER);
  const completion = await stream.finalChatCompletion();
  assert.equal(completion.choices[0].finish_reason, 'stop');
});

test('developer messages, seeds, choices, stop texts and probabilities', async () => {
  const options = { temperature: 1.5, seed: 7, n: 3, max_tokens: 40 };
  const messages = [...says('Be brief.', 'developer'), ...says(SUM)];
  const [first, second] = [await ask({ messages, ...options }), await ask({ messages, ...options })];
  const texts = (answer) => answer.choices.map(({ message }) => [message.reasoning_content, message.content]);
  assert.equal(first.choices.length, 3);
  assert.deepEqual(texts(first), texts(second));
  const stopped = await ask({ reasoning_effort: 'none', stop: [' is'], logprobs: true, top_logprobs: 1 });
  assert.equal(stopped.choices[0].message.content, 'The answer');
  assert.ok(stopped.choices[0].logprobs.content.every((token) => token.logprob <= 0));
});

const Sum = z.object({ result: z.union([z.literal(15), z.literal(16), z.literal(17), z.literal(18)]) });

test('an answer becomes an object', async () => {
  const answer = await client.chat.completions.parse({
    ...question,
    response_format: zodResponseFormat(Sum, 'sum'),
  });
  const { message } = answer.choices[0];
  assert.ok(Sum.safeParse(message.parsed).success);
  assert.match(message.reasoning_content, /12\+5=17/);
});

const Lamp = z.object({ room: z.enum(['kitchen', 'hall']) });
const BY_NAME = { type: 'function', function: { name: 'lamp_state' } };

test('a call, its result and the answer', async () => {
  const tools = [zodFunction({ name: 'lamp_state', parameters: Lamp })];
  const first = await client.chat.completions.parse({
    model: CALLER,
    reasoning_effort: 'low',
    messages: says('Is the lamp on?'),
    tools,
    tool_choice: BY_NAME,
  });
  assert.equal(first.choices[0].finish_reason, 'tool_calls');
  const [call] = first.choices[0].message.tool_calls;
  assert.ok(Lamp.safeParse(call.function.parsed_arguments).success);
  const result = { role: 'tool', tool_call_id: call.id, content: 'on' };
  const messages = [...says('Is the lamp on?'), first.choices[0].message, result];
  const second = await ask({ model: CALLER, messages, tools, tool_choice: 'none' });
  assert.ok(second.choices[0].message.content);
});

test('functions are run by the helper', async () => {
  const rooms = [];
  const lamp_state = ({ room }) => {
    rooms.push(room);
    return 'on';
  };
  const runner = client.chat.completions.runTools({
    model: CALLER,
    reasoning_effort: 'low',
    messages: says('Is the lamp on?'),
    tools: [zodFunction({ name: 'lamp_state', parameters: Lamp, function: lamp_state })],
    tool_choice: BY_NAME,
  });
  const calls = await runner.finalFunctionToolCallResult();
  assert.equal(calls, 'on');
  assert.equal(rooms.length, 1);
});

test('an answer that is let go of is not made', async () => {
  const stream = await ask({ stream: true, n: 16, temperature: 1, ...ENDLESS });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break;
  }
  await quiet();
  const controller = new AbortController();
  const lost = client.chat.completions.create(
    { ...question, n: 32, temperature: 1, ...ENDLESS },
    { signal: controller.signal },
  );
  setTimeout(() => controller.abort(), 100);
  await assert.rejects(lost, OpenAI.APIUserAbortError);
  await quiet();
});

test('errors have their classes and name the field', async () => {
  await assert.rejects(ask({ temperature: 3 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, 'temperature');
    return true;
  });
  await assert.rejects(ask({ model: 'gpt-4o' }), OpenAI.NotFoundError);
  const stranger = clientOf(keyed.url, 'wrong');
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  assert.equal((await clientOf(keyed.url, keyed.key).models.list()).data[0].id, 'default');
});

test('a full queue is told', async () => {
  const busy = clientOf(busyUrl);
  // More than fits on the way to a client that reads nothing, so it cannot come to its end.
  const stream = await busy.chat.completions.create({ ...question, stream: true, n: PLACES, ...ENDLESS });
  await assert.rejects(busy.chat.completions.create(question), OpenAI.RateLimitError);
  stream.controller.abort();
  const patient = clientOf(busyUrl, 'unused', { maxRetries: 3 });
  const answer = await patient.chat.completions.create(question);
  assert.equal(answer.choices[0].message.content, ANSWER);
});

test('models are listed and shown', async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ['default', CALLER]);
  assert.equal((await client.models.retrieve('default')).object, 'model');
});

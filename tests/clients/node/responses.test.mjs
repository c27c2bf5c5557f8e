// The official client: responses, files and batches.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI, { toFile } from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';

import { ANSWER, CALLER, ENDLESS, SUM, quiet, says, sleep, url } from './servers.mjs';

const client = new OpenAI({ baseURL: url, apiKey: 'unused', maxRetries: 0 });
const question = { model: 'default', input: SUM, temperature: 0 };
const ask = (more) => client.responses.create({ ...question, ...more });

test('a response holds its thought and its text', async () => {
  const response = await ask();
  assert.equal(response.status, 'completed');
  assert.equal(response.output_text, ANSWER);
  assert.deepEqual(response.output.map((item) => item.type), ['reasoning', 'message']);
  assert.match(response.output[0].content[0].text, /12\+5=17/);
  assert.ok(response.usage.output_tokens_details.reasoning_tokens > 0);
});

test('events come in order', async () => {
  const events = [];
  for await (const event of await ask({ stream: true })) events.push(event);
  assert.deepEqual(events.map((event) => event.sequence_number), [...events.keys()]);
  assert.equal(events[0].type, 'response.created');
  assert.equal(events.at(-1).type, 'response.completed');
  const stream = client.responses.stream(question);
  assert.equal((await stream.finalResponse()).output_text, ANSWER);
});

const Sum = z.object({ result: z.enum(['16', '17', '18']) });

test('a response becomes an object', async () => {
  const response = await client.responses.parse({
    model: 'default',
    input: SUM,
    text: { format: zodTextFormat(Sum, 'sum') },
  });
  assert.ok(Sum.safeParse(response.output_parsed).success);
});

test('a call, its result and the answer', async () => {
  const tool = zodResponsesFunction({
    name: 'lamp_state',
    parameters: z.object({ room: z.enum(['kitchen', 'hall']) }),
  });
  const first = await client.responses.parse({
    model: CALLER,
    reasoning: { effort: 'low' },
    input: 'Is the lamp on?',
    tools: [tool],
    tool_choice: { type: 'function', name: 'lamp_state' },
  });
  const call = first.output.find((item) => item.type === 'function_call');
  assert.ok(['kitchen', 'hall'].includes(call.parsed_arguments.room));
  const second = await ask({
    model: CALLER,
    reasoning: { effort: 'low' },
    previous_response_id: first.id,
    input: [{ type: 'function_call_output', call_id: call.call_id, output: 'on' }],
    tools: [tool],
    tool_choice: 'none',
  });
  assert.ok(second.output_text);
});

test('responses are kept, continued, listed, cancelled and deleted', async () => {
  const first = await ask();
  const second = await ask({ input: says('What is 20 + 3?'), previous_response_id: first.id });
  assert.match(second.output_text, /23/);
  assert.equal((await client.responses.retrieve(first.id)).output_text, ANSWER);
  const items = [];
  for await (const item of client.responses.inputItems.list(second.id, { order: 'asc' })) items.push(item);
  assert.equal(items.at(-1).content[0].text, 'What is 20 + 3?');
  const endless = await ask({ background: true, temperature: 1, ...ENDLESS });
  assert.equal((await client.responses.cancel(endless.id)).status, 'cancelled');
  await quiet();
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
});

test('a batch is answered line by line', async () => {
  const lines = [1, 2, 3].map((number) => ({
    custom_id: `sum-${number}`,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model: 'default', messages: says(`What is 10 + ${number}?`), temperature: 0 },
  }));
  const text = lines.map((line) => JSON.stringify(line)).join('\n');
  const file = await client.files.create({
    file: await toFile(Buffer.from(text), 'sums.jsonl'),
    purpose: 'batch',
  });
  let batch = await client.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
  });
  for (let i = 0; batch.status !== 'completed'; i++) {
    assert.ok(i < 400, batch.status);
    await sleep(50);
    batch = await client.batches.retrieve(batch.id);
  }
  assert.equal(batch.request_counts.completed, 3);
  const content = await (await client.files.content(batch.output_file_id)).text();
  const answers = content.trim().split('\n').map((line) => JSON.parse(line));
  const second = answers.find((answer) => answer.custom_id === 'sum-2');
  assert.equal(second.response.body.choices[0].message.content, 'The answer is 12.');
  const ids = [];
  for await (const listed of client.files.list()) ids.push(listed.id);
  assert.ok(ids.includes(file.id) && ids.includes(batch.output_file_id));
  assert.ok((await client.files.delete(file.id)).deleted);
});

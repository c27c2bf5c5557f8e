// Where `cargo xtask clients` has started servers, and what tests ask them.

export const url = process.env.PONDER_URL;
export const keyed = { url: process.env.PONDER_KEYED_URL, key: process.env.PONDER_KEY };
export const busyUrl = process.env.PONDER_BUSY_URL;

export const SUM = 'What is 12 + 5?';
export const ANSWER = 'The answer is 17.';

// The model that is served beside the one in the program: the same, told how to call tools.
export const CALLER = 'caller';

// A thought that fills the context, so that there is time to do something about it.
export const ENDLESS = { thinking: { min_tokens: 100_000, loop_guard: false } };

// Answers that the busy server makes at a time.
export const PLACES = 16;

export const says = (content, role = 'user') => [{ role, content }];

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Answers under way: those that nobody reads at the moment count as waiting.
async function answers() {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => /^ponder_answers_(running|waiting)\{/.test(line));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

// Waits until no answer is being made.
export async function quiet() {
  for (let i = 0; i < 500; i++) {
    if ((await answers()) === 0) return;
    await sleep(20);
  }
  throw new Error('answers are still being made');
}

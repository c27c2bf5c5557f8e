// What an answer cost, in a line.

import { el } from "./dom.js";
import { speeds } from "./answer.js";
import { percent, seconds, speed, tokens, whole } from "./format.js";

/** Terms and values; only what is known, and null where nothing is. */
export function statsLine(answer) {
  const { ttft, ttfo, decode } = speeds(answer);
  const usage = answer.usage;
  const thinking = usage && usage.reasoning > 0 ? `${percent(usage.reasoning, usage.completion)} thinking` : null;
  const pairs = [
    ["First token", ttft === null ? null : seconds(ttft), "Time to the first token, whatever it is (TTFT)"],
    ["First word", ttfo === null ? null : seconds(ttfo), "Time to the first token that is not thinking (TTFO)"],
    ["Speed", decode === null ? null : speed(decode), "Tokens per second after the first"],
    ["Written", usage && [tokens(usage.completion), thinking].filter(Boolean).join(", "), "Tokens of thinking and answer"],
    ["Read", usage && `${tokens(usage.prompt)}, ${whole(usage.cached)} cached`, "Tokens of the prompt, and how many of them an earlier request had computed"],
    ["Thinking ended", endedBy(answer), "Who or what ended the thinking"],
  ];
  const known = pairs.filter(([, value]) => value);
  if (known.length === 0) return null;
  const children = known.map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", {}, value)));
  return el("dl", { class: "stats" }, ...children);
}

function endedBy(answer) {
  const names = { model: "by the model", budget: "budget", deadline: "deadline", early_exit: "early exit", loop: "repetition", user: "by you" };
  return names[answer.endedBy] ?? null;
}

// Effort levels, in words. Pure.

import { tokens } from "./format.js";

/** All levels, least first, and what each means on any model. */
export const LEVELS = [
  { id: "none", name: "None", means: "answers at once, without thinking" },
  { id: "minimal", name: "Minimal", means: "a glance before the answer" },
  { id: "low", name: "Low", means: "thinks briefly" },
  { id: "medium", name: "Medium", means: "thinks as long as most questions need" },
  { id: "high", name: "High", means: "thinks a question through and checks" },
  { id: "xhigh", name: "Extra high", means: "thinks long, for hard questions" },
  { id: "max", name: "Max", means: "thinks until it is done" },
];

/** The level with this id. */
export function level(id) {
  return LEVELS.find((one) => one.id === id) ?? LEVELS[3];
}

/** The most tokens that a thought may have: what was asked for, or what the level means on this model; null where only the model ends it. */
export function budget(settings, model) {
  if (settings.effort === "none") return 0;
  if (settings.budgetTokens !== null) return settings.budgetTokens;
  const tokens = model?.effort_levels?.[settings.effort]?.think_tokens;
  return Number.isInteger(tokens) && tokens >= 0 ? tokens : null;
}

/** What a level means on this model, as a sentence without its end. */
export function meaning(settings, model) {
  if (model?.reasoning === false) return "means nothing here: this model answers without thinking";
  const words = level(settings.effort).means;
  const limit = budget(settings, model);
  return limit > 0 ? `${words}, up to ${tokens(limit)}` : words;
}

// What all views share: the settings, and the models of the server.

import { loadSettings, saveSettings } from "./store.js";

const listeners = new Set();
const settings = loadSettings();
let models = [];

/** The settings as they are; `model` is one that the server has, if it has any. */
export function current() {
  return { ...settings };
}

/** What the server says of the chosen model. */
export function model() {
  return models.find((one) => one.id === settings.model) ?? null;
}

export function allModels() {
  return models;
}

/** Changes some settings, stores them, and tells whoever listens. */
export function change(part) {
  Object.assign(settings, part);
  saveSettings(settings);
  for (const listener of listeners) listener();
}

/** Takes over the models of the server; the chosen one is kept if it is there. */
export function setModels(list) {
  models = list;
  if (list.length > 0 && !list.some((one) => one.id === settings.model)) change({ model: list[0].id });
  else for (const listener of listeners) listener();
}

/** Calls `listener` now and after each change. */
export function onChange(listener) {
  listeners.add(listener);
  listener();
}

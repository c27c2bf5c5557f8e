// What stays in the browser: each conversation under a key of its own, so that one that cannot be
// read, or be written, takes nothing else with it.

import { readConversation, readSettings } from "./state.js";

const CHAT = "ponder.chat.";
const SETTINGS = "ponder.settings";
const THEME = "ponder.theme";

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return undefined;
  }
}

/** Whether it was stored. */
function write(key, value) {
  try {
    localStorage.setItem(key, typeof value === "string" ? value : JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

function remove(key) {
  try {
    localStorage.removeItem(key);
  } catch {
    // Nothing is stored where storage is forbidden.
  }
}

function keys() {
  try {
    return Object.keys(localStorage).filter((key) => key.startsWith(CHAT));
  } catch {
    return [];
  }
}

/** All conversations that can be read, the latest first, and how many cannot. */
export function loadConversations() {
  const all = keys().map((key) => readConversation(read(key)));
  const conversations = all.filter((one) => one !== null).sort((a, b) => b.updated - a.updated);
  return { conversations, unreadable: all.length - conversations.length };
}

/** One conversation; null where it cannot be read. */
export function loadConversation(id) {
  return readConversation(read(CHAT + id));
}

/** Stores a conversation; gives whether there was room. */
export function saveConversation(conversation) {
  return write(CHAT + conversation.id, conversation);
}

export function deleteConversation(id) {
  remove(CHAT + id);
}

/** Deletes all, those that cannot be read too. */
export function deleteAllConversations() {
  for (const key of keys()) remove(key);
}

export function loadSettings() {
  return readSettings(read(SETTINGS));
}

export function saveSettings(settings) {
  write(SETTINGS, settings);
}

/** "light", "dark" or "auto". */
export function loadTheme() {
  try {
    const theme = localStorage.getItem(THEME);
    return theme === "light" || theme === "dark" ? theme : "auto";
  } catch {
    return "auto";
  }
}

export function saveTheme(theme) {
  if (theme === "auto") remove(THEME);
  else write(THEME, theme);
}

/** Calls `changed` when another window of this browser changes a conversation. */
export function onChangeElsewhere(changed) {
  addEventListener("storage", (event) => {
    if (event.key === null || event.key.startsWith(CHAT)) changed(event.key?.slice(CHAT.length) ?? null);
  });
}

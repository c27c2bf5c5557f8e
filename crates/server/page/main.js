// Puts the page together.

import { ApiError, models, onKeyNeeded, setKey } from "./api.js";
import { announce, notice } from "./announce.js";
import { advice } from "./advice.js";
import { Chat, fresh } from "./chat.js";
import { allModels, change, current, model, onChange, setModels } from "./context.js";
import { askKey } from "./dialog.js";
import { byId, drawIcon, drawIcons, el } from "./dom.js";
import { History } from "./history.js";
import { SchemaTester } from "./schema.js";
import { openSettings } from "./settings.js";
import { listen, openShortcuts } from "./shortcuts.js";
import { Side } from "./side.js";
import { stepEffort } from "./slider.js";
import { loadConversations, loadTheme, onChangeElsewhere, saveTheme } from "./store.js";
import { ToolTester } from "./tools.js";

const VIEWS = ["chat", "schema", "tools"];
const side = new Side();
const testers = { schema: new SchemaTester(byId("view-schema")), tools: new ToolTester(byId("view-tools")) };
const chat = new Chat(byId("view-chat"), () => {
  history.show(chat.conversation.id);
  // What effort means on a model is known once it is loaded.
  if (!chat.run && model()?.loaded === false) findModels();
});
const history = new History({
  onOpen: (conversation) => {
    chat.open(conversation);
    history.show(conversation.id);
    goTo("chat");
    side.closeIfNarrow();
  },
  onGone: (id) => {
    if (id === null) for (const one of loadConversations().conversations) chat.forget(one.id);
    else chat.forget(id);
    if (id === null || id === chat.conversation.id) newChat();
  },
  isRunning: (id) => chat.isRunning(id),
});
history.onRenamed = (conversation) => {
  if (conversation.id === chat.conversation.id) chat.conversation.title = conversation.title;
};

function newChat() {
  chat.open(fresh());
  history.show(chat.conversation.id);
  goTo("chat");
  side.closeIfNarrow();
  chat.composer.focus();
}

// Views

function view() {
  const name = location.hash.slice(1);
  return VIEWS.includes(name) ? name : "chat";
}

function goTo(name) {
  if (view() !== name) location.hash = name;
}

function showView() {
  for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view();
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === view()) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = { chat: "ponder", schema: "Schema · ponder", tools: "Tools · ponder" }[view()];
  side.closeIfNarrow();
}

// Models

const picker = byId("model");
picker.addEventListener("change", () => change({ model: picker.value }));
onChange(() => {
  const list = allModels();
  if (list.length === 0) return;
  picker.replaceChildren(...list.map((one) => el("option", { value: one.id }, one.id)));
  picker.value = current().model;
  picker.disabled = false;
});

async function findModels() {
  try {
    const list = await models();
    setModels(list);
    if (list.length === 0) notice("The server has no model. Start it with: ponder serve -m MODEL");
  } catch (error) {
    picker.replaceChildren(el("option", {}, "No models"));
    const known = error instanceof ApiError ? error : new ApiError({ message: error.message });
    notice([known.message, advice(known)].filter(Boolean).join(" "));
  }
}

onKeyNeeded(async (isWrong) => {
  const key = await askKey(isWrong);
  if (key) setKey(key);
  return Boolean(key);
});

// Theme

const THEMES = { auto: ["contrast", "Theme: as the system"], light: ["sun", "Theme: light"], dark: ["moon", "Theme: dark"] };

function showTheme() {
  const theme = loadTheme();
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const [icon, label] = THEMES[theme];
  byId("theme").replaceChildren(drawIcon(icon));
  byId("theme").setAttribute("aria-label", label);
  byId("theme").title = label;
}

byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  saveTheme(names[(names.indexOf(loadTheme()) + 1) % names.length]);
  showTheme();
  announce(byId("theme").title);
});

// Keys and buttons

function effortBy(step) {
  announce(`Effort: ${stepEffort(step).name}`);
}

const active = () => testers[view()] ?? chat;
listen({
  stop: () => active().stop(),
  answerNow: () => active().answerNow(),
  moreEffort: () => effortBy(1),
  lessEffort: () => effortBy(-1),
  toggleThought: () => active().toggleThought(),
  regenerate: () => view() === "chat" && chat.regenerate(),
  editLast: () => view() === "chat" && chat.editLast(),
  newChat,
  toggleSide: () => side.toggle(),
  focusAsk: () => active().focus?.() ?? chat.composer.focus(),
  chat: () => goTo("chat"),
  schema: () => goTo("schema"),
  tools: () => goTo("tools"),
  settings: openSettings,
  shortcuts: openShortcuts,
});
byId("new-chat").addEventListener("click", newChat);
byId("settings-open").addEventListener("click", openSettings);
byId("shortcuts-open").addEventListener("click", openShortcuts);
addEventListener("hashchange", showView);

// Other windows of this browser

onChangeElsewhere((id) => {
  if (id === chat.conversation.id && !chat.run) {
    const stored = loadConversations().conversations.find((one) => one.id === id);
    if (stored) chat.open(stored);
  }
  history.show(chat.conversation.id);
});

drawIcons(document);
showTheme();
showView();
const [latest] = loadConversations().conversations;
if (latest) chat.open(latest);
history.show(chat.conversation.id);
if (view() === "chat" && matchMedia("(pointer: fine)").matches) chat.composer.focus();
findModels();

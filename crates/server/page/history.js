// The list of conversations: open, rename, export, delete.

import { notice } from "./announce.js";
import { confirm } from "./dialog.js";
import { byId, drawIcon, el, iconButton } from "./dom.js";
import { titleOf } from "./state.js";
import { deleteAllConversations, deleteConversation, loadConversation, loadConversations, saveConversation } from "./store.js";

export class History {
  #current = null;
  #target = null;

  /** `onOpen` gets a conversation, `onGone` the id of one that was deleted, or null for all. */
  constructor({ onOpen, onGone, isRunning }) {
    this.onOpen = onOpen;
    this.onGone = onGone;
    this.isRunning = isRunning;
    this.menu = this.#makeMenu();
    byId("side").append(this.menu);
    byId("export-all").addEventListener("click", () => this.#exportAll());
    byId("delete-all").addEventListener("click", () => this.#deleteAll());
    const { unreadable } = loadConversations();
    if (unreadable > 0) notice(`${unreadable} stored ${unreadable === 1 ? "conversation" : "conversations"} could not be read and ${unreadable === 1 ? "is" : "are"} left out.`);
  }

  /** Shows the list with one conversation marked. */
  show(currentId) {
    this.#current = currentId;
    const { conversations } = loadConversations();
    const list = byId("history-list");
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    const id = focused?.closest("li").dataset.id;
    list.replaceChildren(...conversations.map((conversation) => this.#item(conversation)));
    if (focused) this.#focus(id, focused.matches(".history-more") ? ".history-more" : ".history-open");
    byId("history-empty").hidden = conversations.length > 0;
    byId("export-all").hidden = byId("delete-all").hidden = conversations.length === 0;
  }

  #item(conversation) {
    const isCurrent = conversation.id === this.#current;
    const title = titleOf(conversation);
    const open = el("button", { type: "button", class: "history-open", title, "aria-current": isCurrent ? "true" : undefined, onclick: () => this.onOpen(conversation) }, title);
    const more = iconButton("more", `More about “${title}”`, () => this.#openMenu(conversation, more, item), { class: "icon-button history-more", "aria-haspopup": "true" });
    const running = this.isRunning(conversation.id) && el("span", { class: "dot", role: "img", "aria-label": "being answered" });
    const item = el("li", { class: isCurrent ? "is-current" : undefined, "data-id": conversation.id }, open, running, more);
    return item;
  }

  #makeMenu() {
    const action = (icon, label, act, className = "") =>
      el("button", { type: "button", class: `menu-item ${className}`.trim(), onclick: () => this.#act(act) }, drawIcon(icon), label);
    return el(
      "div",
      { class: "menu", popover: "auto", role: "group", "aria-label": "Conversation" },
      action("pencil", "Rename", () => this.#rename()),
      action("download", "Export as JSON", () => this.#export()),
      action("trash", "Delete", () => this.#delete(), "danger"),
    );
  }

  #openMenu(conversation, button, item) {
    this.#target = { conversation, button, item };
    this.menu.showPopover();
    const place = button.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.menu;
    this.menu.style.left = `${Math.max(8, Math.min(place.left, innerWidth - offsetWidth - 8))}px`;
    this.menu.style.top = `${Math.max(8, Math.min(place.bottom + 4, innerHeight - offsetHeight - 8))}px`;
    this.menu.querySelector("button").focus();
  }

  #act(act) {
    this.menu.hidePopover();
    act();
  }

  #rename() {
    const { conversation, item } = this.#target;
    const title = titleOf(conversation);
    let isOver = false;
    const end = (isKept) => {
      if (isOver) return;
      isOver = true;
      const stored = loadConversation(conversation.id);
      if (isKept && stored && field.value.trim() !== title) {
        stored.title = field.value.trim().slice(0, 200);
        saveConversation(stored);
        this.onRenamed?.(stored);
      }
      this.show(this.#current);
      this.#focus(conversation.id);
    };
    const field = el("input", {
      class: "input",
      value: title,
      maxLength: 200,
      "aria-label": "Name of the conversation",
      onblur: () => end(true),
      onkeydown: (event) => {
        if (event.key === "Enter" && !event.isComposing) {
          // Else it would also press the button that gets the focus.
          event.preventDefault();
          end(true);
        } else if (event.key === "Escape") {
          event.stopPropagation();
          end(false);
        }
      },
    });
    item.replaceChildren(field);
    field.focus();
    field.select();
  }

  #focus(id, part = ".history-open") {
    const items = [...byId("history-list").children];
    items.find((item) => item.dataset.id === id)?.querySelector(part).focus();
  }

  #export() {
    const { conversation } = this.#target;
    const name = titleOf(conversation).toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40);
    download(`ponder-${name || "conversation"}.json`, loadConversation(conversation.id) ?? conversation);
  }

  #exportAll() {
    download("ponder-conversations.json", loadConversations().conversations);
  }

  async #delete() {
    const { conversation } = this.#target;
    const isMeant = await confirm("Delete the conversation?", `“${titleOf(conversation)}” is then gone for good.`, "Delete");
    if (!isMeant) return;
    this.onGone(conversation.id);
    deleteConversation(conversation.id);
    this.show(this.#current);
    byId("new-chat").focus();
  }

  async #deleteAll() {
    const isMeant = await confirm("Delete all conversations?", "All that is stored in this browser is then gone for good. Export it first to keep it.", "Delete all");
    if (!isMeant) return;
    this.onGone(null);
    deleteAllConversations();
    this.show(this.#current);
    byId("new-chat").focus();
  }
}

function download(name, value) {
  const blob = new Blob([`${JSON.stringify(value, null, 2)}\n`], { type: "application/json" });
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

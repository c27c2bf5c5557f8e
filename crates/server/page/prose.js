// Elements of Markdown.

import { el, iconButton } from "./dom.js";
import { parse } from "./markdown.js";

/** Shows a text that grows: only the blocks that changed are made anew. */
export class Prose {
  #shown = [];

  constructor() {
    this.element = el("div", { class: "prose" });
  }

  update(text) {
    const blocks = parse(text);
    const shown = blocks.map((block) => JSON.stringify(block));
    let same = 0;
    while (same < shown.length && shown[same] === this.#shown[same]) same += 1;
    while (this.element.childNodes.length > same) this.element.lastChild.remove();
    this.element.append(...blocks.slice(same).map(blockElement));
    this.#shown = shown;
  }
}

function blockElement(block) {
  switch (block.type) {
    case "heading":
      // The page's own headings end at the third level.
      return el(`h${Math.min(block.level + 3, 6)}`, { class: `heading-${block.level}` }, ...spans(block.children));
    case "code":
      return codeBlock(block.text, block.language);
    case "rule":
      return el("hr");
    case "quote":
      return el("blockquote", {}, ...block.children.map(blockElement));
    case "list":
      return list(block);
    case "table":
      return table(block);
    default:
      return el("p", {}, ...spans(block.children));
  }
}

function list({ isOrdered, start, items }) {
  const children = items.map((blocks) => {
    // A short item is a line, not a paragraph.
    const isTight = blocks[0]?.type === "paragraph" && blocks.slice(1).every((block) => block.type === "list");
    const [first, ...rest] = blocks;
    return isTight ? el("li", {}, ...spans(first.children), ...rest.map(blockElement)) : el("li", {}, ...blocks.map(blockElement));
  });
  return isOrdered ? el("ol", { start }, ...children) : el("ul", {}, ...children);
}

function table({ align, head, rows }) {
  const cell = (tag, props) => (children, i) => el(tag, { ...props, class: align[i] && `align-${align[i]}` }, ...spans(children));
  const body = rows.map((row) => el("tr", {}, ...row.map(cell("td", {}))));
  return el(
    "div",
    { class: "wide", tabIndex: 0, role: "region", "aria-label": "Table" },
    el("table", {}, el("thead", {}, el("tr", {}, ...head.map(cell("th", { scope: "col" })))), el("tbody", {}, ...body)),
  );
}

/** Text that is kept as it is, with a button that copies it. */
export function codeBlock(text, language = "") {
  return el(
    "div",
    { class: "code" },
    el("div", { class: "code-head" }, el("span", {}, language || "text"), copyButton("Copy the code", () => text)),
    el("pre", { tabIndex: 0, role: "region", "aria-label": language ? `Code in ${language}` : "Code" }, el("code", {}, text)),
  );
}

/** A button that copies what `text` gives, and says so. */
export function copyButton(label, text) {
  const button = iconButton("copy", label, async () => {
    const done = await copy(text());
    button.replaceChildren(...iconButton(done ? "check" : "close", "").childNodes);
    button.setAttribute("aria-label", done ? "Copied" : "The browser does not allow copying");
    setTimeout(() => {
      button.replaceChildren(...iconButton("copy", "").childNodes);
      button.setAttribute("aria-label", label);
    }, 1500);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function spans(children) {
  return children.map((child) => {
    if (typeof child === "string") return child;
    switch (child.type) {
      case "break":
        return el("br");
      case "code":
        return el("code", {}, child.text);
      case "link":
        return el("a", { href: child.href, target: "_blank", rel: "noopener noreferrer" }, ...spans(child.children));
      case "strong":
        return el("strong", {}, ...spans(child.children));
      case "strike":
        return el("s", {}, ...spans(child.children));
      default:
        return el("em", {}, ...spans(child.children));
    }
  });
}

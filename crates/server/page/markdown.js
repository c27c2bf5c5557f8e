// Markdown as a tree of plain objects. Pure; `prose.js` makes elements of it.
//
// Models write for a reader who sees single line ends and products like 2*3*4, so both are kept
// where CommonMark would not. HTML is text, pictures are links, and only links that lead to pages or
// letters are links.

import { inline } from "./inline.js";

/** Deeper lists and quotations are text. */
const MAX_DEPTH = 12;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*))?$/;
const RULE = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(\s+|$)/;
const SEPARATOR = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** The blocks of a text: `{ type, … }` each. */
export function parse(text) {
  return blocks(text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").split("\n"), 0);
}

/** The same text without its marks, as it is read aloud. */
export function plain(text) {
  const words = (node) => {
    if (typeof node === "string") return node;
    if (Array.isArray(node)) return node.map(words).join("");
    switch (node.type) {
      case "break":
        return "\n";
      case "rule":
        return "";
      case "code":
        return node.text;
      case "quote":
        return node.children.map(words).join("\n");
      case "list":
        return node.items.map((item) => item.map(words).join("\n")).join("\n");
      case "table":
        return [node.head, ...node.rows].map((row) => row.map(words).join(", ")).join("\n");
      default:
        return words(node.children);
    }
  };
  return parse(text).map(words).filter(Boolean).join("\n");
}

function blocks(lines, depth) {
  const out = [];
  let at = 0;
  while (at < lines.length) {
    if (lines[at].trim() === "") {
      at += 1;
      continue;
    }
    const taken = block(lines, at, depth);
    out.push(taken.block);
    at = taken.next;
  }
  return out;
}

function block(lines, at, depth) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return code(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return { block: { type: "heading", level: heading[1].length, children: inline(headingText(heading[2])) }, next: at + 1 };
  if (RULE.test(line)) return { block: { type: "rule" }, next: at + 1 };
  if (isTable(lines, at)) return table(lines, at);
  if (depth < MAX_DEPTH && QUOTE.test(line)) return quote(lines, at, depth);
  if (depth < MAX_DEPTH && ITEM.test(line)) return list(lines, at, depth);
  return paragraph(lines, at, depth);
}

/** The text without the signs that may close it. */
function headingText(text = "") {
  const trimmed = text.trim();
  let end = trimmed.length;
  while (trimmed[end - 1] === "#") end -= 1;
  return end === 0 || trimmed[end - 1] === " " ? trimmed.slice(0, end).trimEnd() : trimmed;
}

/** A fence that is never closed, as while it is being written, holds the rest. */
function code(lines, at, [, fence, info]) {
  const body = [];
  let next = at + 1;
  const closes = (line) => line.trim().startsWith(fence) && line.trim().replaceAll(fence[0], "") === "";
  while (next < lines.length && !closes(lines[next])) {
    body.push(lines[next]);
    next += 1;
  }
  return { block: { type: "code", language: info.trim().split(/\s+/)[0], text: body.join("\n") }, next: next + 1 };
}

function quote(lines, at, depth) {
  const body = [];
  let next = at;
  while (next < lines.length && QUOTE.test(lines[next])) {
    body.push(lines[next].replace(QUOTE, ""));
    next += 1;
  }
  return { block: { type: "quote", children: blocks(body, depth + 1) }, next };
}

function list(lines, at, depth) {
  const marker = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(marker[2]);
  const items = [];
  let next = at;
  while (next < lines.length) {
    const item = ITEM.exec(lines[next]);
    if (!item || item[1].length > marker[1].length + 1 || /\d/.test(item[2]) !== isOrdered || RULE.test(lines[next])) break;
    const taken = listItem(lines, next, item);
    items.push(blocks(taken.body, depth + 1));
    next = taken.next;
  }
  return { block: { type: "list", isOrdered, start: isOrdered ? Number.parseInt(marker[2], 10) : 1, items }, next };
}

/** The lines of an item, without its indent: all that are further in, and lazy ones of its paragraph. */
function listItem(lines, at, item) {
  const indent = item[1].length + item[2].length + Math.min(Math.max(item[3].length, 1), 4);
  const inner = item[1].length + 2;
  const body = [lines[at].slice(item[0].length)];
  let next = at + 1;
  for (; next < lines.length; next += 1) {
    const line = lines[next];
    const spaces = line.length - line.trimStart().length;
    if (line.trim() === "") {
      const after = lines[next + 1];
      const goesOn = after !== undefined && after.trim() !== "" && after.length - after.trimStart().length >= inner;
      const nextItem = after !== undefined && ITEM.exec(after)?.[1].length === item[1].length;
      if (!goesOn && !nextItem) break;
      body.push("");
    } else if (spaces >= inner) body.push(line.slice(Math.min(spaces, indent)));
    else if (body.at(-1) !== "" && !startsBlock(line)) body.push(line.trimStart());
    else break;
  }
  return { body, next };
}

function startsBlock(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

function paragraph(lines, at, depth) {
  const body = [lines[at].trim()];
  let next = at + 1;
  const ends = (line) => line.trim() === "" || (depth < MAX_DEPTH ? startsBlock(line) : FENCE.test(line));
  while (next < lines.length && !ends(lines[next]) && !isTable(lines, next)) {
    body.push(lines[next].trim());
    next += 1;
  }
  return { block: { type: "paragraph", children: inline(body.join("\n")) }, next };
}

function isTable(lines, at) {
  const below = lines[at + 1];
  return below !== undefined && lines[at].includes("|") && below.includes("|") && SEPARATOR.test(below) && cells(lines[at]).length === cells(below).length;
}

function table(lines, at) {
  const align = cells(lines[at + 1]).map((cell) => {
    if (cell.startsWith(":") && cell.endsWith(":")) return "center";
    return cell.endsWith(":") ? "right" : null;
  });
  const row = (line) => {
    const all = cells(line);
    return align.map((_, i) => inline(all[i] ?? ""));
  };
  const rows = [];
  let next = at + 2;
  while (next < lines.length && lines[next].trim() !== "" && lines[next].includes("|")) {
    rows.push(row(lines[next]));
    next += 1;
  }
  return { block: { type: "table", align, head: row(lines[at]), rows }, next };
}

/** The cells of a row; a bar behind a backslash is part of its cell. */
function cells(line) {
  const inner = line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

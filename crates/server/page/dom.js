// Making elements. Text only ever becomes text nodes: nothing here parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (`on*` are listeners, `class`, `data-*`, `aria-*` and `role` attributes) and children. */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG, where everything is an attribute. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "for" || name === "role" || name.includes("-")) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** The element with this id, which the page has. */
export function byId(id) {
  return document.getElementById(id);
}

let lastId = 0;

/** An id that no other element has. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** A button that is a picture; its label is for screen readers and as a tooltip. */
export function iconButton(icon, label, onclick, props = {}) {
  return el("button", { type: "button", class: "icon-button", "aria-label": label, title: label, onclick, ...props }, drawIcon(icon));
}

// Lines on a grid of 20 by 20.
const ICONS = {
  close: ["M5 5l10 10M15 5L5 15"],
  chat: ["M4 4.5h12a1.5 1.5 0 0 1 1.5 1.5v7a1.5 1.5 0 0 1-1.5 1.5H9l-4 3v-3H4A1.5 1.5 0 0 1 2.5 13V6A1.5 1.5 0 0 1 4 4.5z"],
  braces: ["M8 3.5c-2.5 0-2.5 1-2.5 3s0 3.5-2.5 3.5c2.5 0 2.5 1.5 2.5 3.5s0 3 2.5 3", "M12 3.5c2.5 0 2.5 1 2.5 3s0 3.5 2.5 3.5c-2.5 0-2.5 1.5-2.5 3.5s0 3-2.5 3"],
  tool: ["M12.8 3.2a4 4 0 0 0-4.9 5.2L3.2 13a1.9 1.9 0 0 0 0 2.7l1.1 1.1a1.9 1.9 0 0 0 2.7 0l4.7-4.7a4 4 0 0 0 5.1-5l-2.6 2.6-2.9-.8-.7-2.8z"],
  plus: ["M10 4v12M4 10h12"],
  panel: ["M4.5 3.5h11a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-11a2 2 0 0 1-2-2v-9a2 2 0 0 1 2-2z", "M7.5 3.5v13"],
  contrast: ["M10 2.8a7.2 7.2 0 1 0 0 14.4a7.2 7.2 0 1 0 0-14.4z", "M10 2.8v14.4M12.5 3.5v13M15 5v10"],
  sun: ["M10 6.7a3.3 3.3 0 1 0 0 6.6a3.3 3.3 0 1 0 0-6.6z", "M10 1.8v1.7M10 16.5v1.7M1.8 10h1.7M16.5 10h1.7M4.2 4.2l1.2 1.2M14.6 14.6l1.2 1.2M4.2 15.8l1.2-1.2M14.6 5.4l1.2-1.2"],
  moon: ["M16.8 11.6A7 7 0 1 1 8.4 3.2a5.6 5.6 0 0 0 8.4 8.4z"],
  keyboard: ["M3.5 5h13a1.5 1.5 0 0 1 1.5 1.5v7a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 2 13.5v-7A1.5 1.5 0 0 1 3.5 5z", "M5.5 8.2h.1M8.5 8.2h.1M11.5 8.2h.1M14.5 8.2h.1M6.5 12h7"],
  sliders: ["M3 6h7M14 6h3M3 14h3M10 14h7", "M12 4a2 2 0 1 0 0 4a2 2 0 1 0 0-4zM8 12a2 2 0 1 0 0 4a2 2 0 1 0 0-4z"],
  send: ["M10 16V4.5M4.8 9.5L10 4.3l5.2 5.2"],
  stop: ["M6 6h8v8H6z"],
  chevron: ["M7.5 5l5 5-5 5"],
  copy: ["M7.5 7.5h8a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1h-8a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1z", "M13.5 7V4.5a1 1 0 0 0-1-1h-8a1 1 0 0 0-1 1v7a1 1 0 0 0 1 1H6"],
  check: ["M4 10.5l4 4 8-9"],
  again: ["M16 10a6 6 0 1 1-1.9-4.4", "M16.3 2.8v3.5h-3.5"],
  pencil: ["M4 16l.8-3.5L13.5 3.8l2.7 2.7L7.5 15.2z"],
  trash: ["M3.5 5.5h13M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11"],
  more: ["M5 10h.1M10 10h.1M15 10h.1"],
  down: ["M10 4v11M5 10.5l5 5 5-5"],
  download: ["M10 3.5v9M6 9l4 4 4-4M4 16.5h12"],
};

/** A picture for the eye only. */
export function drawIcon(name) {
  const paths = ICONS[name].map((d) => svg("path", { d }));
  return svg("svg", { viewBox: "0 0 20 20", class: `icon icon-${name}`, "aria-hidden": "true", focusable: "false" }, ...paths);
}

/** Puts pictures into what the page's HTML marks with `data-icon`. */
export function drawIcons(root) {
  for (const node of root.querySelectorAll("[data-icon]")) {
    node.prepend(drawIcon(node.dataset.icon));
    if (node.getAttribute("aria-label") && !node.title) node.title = node.getAttribute("aria-label");
  }
}

// What stands within a line of Markdown: emphasis, code, links. Pure.

/** Deeper emphasis is text. */
const MAX_DEPTH = 8;

const ESCAPABLE = "\\`*_~#|>!-+.";
const MARKS = [
  ["***", "both"],
  ["**", "strong"],
  ["__", "strong"],
  ["~~", "strike"],
  ["*", "emphasis"],
  ["_", "emphasis"],
];

/** The pieces of a text: strings, and `{ type, … }` for what is more. */
export function inline(text, depth = 0) {
  return new Scanner(text, depth).run();
}

class Scanner {
  #out = [];
  #plain = "";
  #at = 0;
  /** Where each mark was found, and from where on it was looked for: no stretch is searched twice. */
  #found = new Map();

  constructor(text, depth) {
    this.text = text;
    this.depth = depth;
  }

  run() {
    while (this.#at < this.text.length) {
      if (!this.#special()) {
        this.#plain += this.text[this.#at];
        this.#at += 1;
      }
    }
    this.#flush();
    return this.#out;
  }

  #special() {
    switch (this.text[this.#at]) {
      case "\\":
        return this.#escape();
      case "\n":
        return this.#push({ type: "break" }, this.#at + 1);
      case "`":
        return this.#code();
      case "*":
      case "_":
      case "~":
        return this.depth < MAX_DEPTH && this.#emphasis();
      case "!":
      case "[":
        return this.depth < MAX_DEPTH && this.#link();
      case "h":
        return this.#bareLink();
      default:
        return false;
    }
  }

  #flush() {
    if (this.#plain) this.#out.push(this.#plain);
    this.#plain = "";
  }

  #push(node, next) {
    this.#flush();
    this.#out.push(node);
    this.#at = next;
    return true;
  }

  #escape() {
    const next = this.text[this.#at + 1];
    if (next === undefined || !ESCAPABLE.includes(next)) return false;
    this.#plain += next;
    this.#at += 2;
    return true;
  }

  #code() {
    const ticks = /^`+/.exec(this.text.slice(this.#at, this.#at + 64))[0];
    const start = this.#at + ticks.length;
    const end = this.#find(ticks, start, (at) => this.text[at - 1] !== "`" && this.text[at + ticks.length] !== "`");
    if (end < 0) {
      this.#plain += ticks;
      this.#at = start;
      return true;
    }
    const body = this.text.slice(start, end).replaceAll("\n", " ");
    const isPadded = body.startsWith(" ") && body.endsWith(" ") && body.trim() !== "";
    return this.#push({ type: "code", text: isPadded ? body.slice(1, -1) : body }, end + ticks.length);
  }

  #emphasis() {
    const mark = MARKS.find(([mark]) => this.text.startsWith(mark, this.#at));
    if (!mark) return false;
    const [sign, type] = mark;
    const start = this.#at + sign.length;
    const opens = isSpace(this.text[this.#at - 1]) || !isWord(this.text[this.#at - 1]);
    if (!opens || isSpace(this.text[start]) || this.text[start] === sign[0]) return this.#text(sign);
    const closes = (at) => !isSpace(this.text[at - 1]) && !isWord(this.text[at + sign.length]) && (sign.length > 1 || this.#isAlone(at, sign));
    const end = this.#find(sign, start + 1, closes);
    if (end < 0) return this.#text(sign);
    const children = inline(this.text.slice(start, end), this.depth + 1);
    const node = type === "both" ? { type: "strong", children: [{ type: "emphasis", children }] } : { type, children };
    return this.#push(node, end + sign.length);
  }

  /** Whether a single sign is not part of a double one, unless a triple ends both. */
  #isAlone(at, sign) {
    const before = this.text[at - 1] === sign;
    const after = this.text[at + 1] === sign;
    return (!before && !after) || (before && this.text[at - 2] === sign && !after);
  }

  #text(sign) {
    this.#plain += sign;
    this.#at += sign.length;
    return true;
  }

  #link() {
    const isPicture = this.text[this.#at] === "!";
    const start = this.#at + (isPicture ? 2 : 1);
    if (isPicture && this.text[this.#at + 1] !== "[") return false;
    const middle = this.#find("](", start, () => true);
    if (middle < 0 || middle - start > 2000) return false;
    const end = this.#find(")", middle + 2, () => true);
    if (end < 0 || end - middle > 4000) return false;
    const href = safeHref(this.text.slice(middle + 2, end).trim().split(/\s+/)[0]);
    if (href === null) return false;
    const label = this.text.slice(start, middle);
    return this.#push({ type: "link", href, children: label ? inline(label, MAX_DEPTH) : [href] }, end + 1);
  }

  #bareLink() {
    if (isWord(this.text[this.#at - 1])) return false;
    const found = /^https?:\/\/[^\s<>"'`|]{1,2000}/.exec(this.text.slice(this.#at, this.#at + 2010));
    if (!found) return false;
    const shown = found[0].replace(/[.,;:!?)\]*_]+$/, "");
    const href = safeHref(shown);
    return href !== null && this.#push({ type: "link", href, children: [shown] }, this.#at + shown.length);
  }

  /** The first place from `from` on where `sign` stands and `fits`, which looks at the place alone; -1 where there is none. */
  #find(sign, from, fits) {
    const last = this.#found.get(sign);
    if (last && last.from <= from && (last.at < 0 || from <= last.at)) return last.at;
    let at = this.text.indexOf(sign, from);
    while (at >= 0 && !fits(at)) at = this.text.indexOf(sign, at + 1);
    this.#found.set(sign, { from, at });
    return at;
  }
}

/** The address, if it leads to a page or a letter. */
export function safeHref(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
}

function isSpace(character) {
  return character === undefined || /\s/.test(character);
}

function isWord(character) {
  return character !== undefined && /[\p{L}\p{N}]/u.test(character);
}

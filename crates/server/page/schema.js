// The schema tester: a JSON Schema, a question, and the document that comes of them.

import { el, freshId } from "./dom.js";
import { codeBlock } from "./prose.js";
import { requestBody, systemMessages } from "./state.js";
import { JsonField, Tester, questionField } from "./tester.js";
import { validate } from "./validate.js";

const object = (properties) => ({ type: "object", properties, required: Object.keys(properties), additionalProperties: false });

const EXAMPLES = {
  "A result": { schema: object({ result: { type: "integer" }, is_even: { type: "boolean" } }), question: "What is 17 + 25 × 3?" },
  "A list": {
    schema: object({ numbers: { type: "array", items: { type: "integer", minimum: 0, maximum: 200 }, minItems: 1, maxItems: 8 } }),
    question: "Sort these numbers: 84, 17, 59, 23.",
  },
  "A choice": { schema: object({ verdict: { enum: ["yes", "no", "unsure"] }, reason: { type: "string", maxLength: 80 } }), question: "Is 97 more than 79?" },
};

export class SchemaTester {
  constructor(root) {
    const [first] = Object.values(EXAMPLES);
    this.schema = new JsonField("JSON Schema", pretty(first.schema), "The answer can have no other form: it is enforced while it is written.");
    this.question = questionField(first.question, this);
    this.strict = el("input", { type: "checkbox", checked: true });
    const intro = el("p", { class: "quiet" }, "A document of a form that you choose. Thinking stays free; the form begins where the answer does.");
    this.tester = new Tester(root, {
      id: "schema",
      title: "Schema tester",
      intro,
      fields: [this.#examples(), this.schema.element, this.question.element, el("label", { class: "choice" }, this.strict, "Strict: refuse schemas that cannot be enforced in full")],
      onAsk: () => this.#ask(),
    });
  }

  stop() {
    this.tester.stop();
  }

  answerNow() {
    return this.tester.answerNow();
  }

  toggleThought() {
    this.tester.toggleThought();
  }

  #examples() {
    const id = freshId("example");
    const select = el(
      "select",
      {
        class: "input",
        id,
        onchange: () => {
          const { schema, question } = EXAMPLES[select.value];
          this.schema.value = pretty(schema);
          this.question.input.value = question;
        },
      },
      ...Object.keys(EXAMPLES).map((name) => el("option", {}, name)),
    );
    return el("div", { class: "field" }, el("label", { for: id }, "Example"), select);
  }

  async #ask() {
    const schema = this.schema.read();
    if (schema === undefined) return;
    const content = new Document(schema);
    this.tester.clear();
    const format = { type: "json_schema", json_schema: { name: "answer", schema, strict: this.strict.checked } };
    const messages = (settings) => [...systemMessages(settings), { role: "user", content: this.question.input.value }];
    await this.tester.ask((settings) => requestBody(settings, messages(settings), { response_format: format }), { content });
  }
}

/** Shows the answer's text as a document and says whether it fits. */
class Document {
  constructor(schema) {
    this.schema = schema;
    this.element = el("div", { class: "document" });
    this.shown = null;
  }

  /** `answer` is there once it is complete. */
  update(text, answer) {
    if (text === "" || (text === this.shown && !answer)) return;
    this.shown = text;
    const { value, isJson } = parsed(text);
    const verdict = answer && this.#verdict(isJson, value, answer);
    this.element.replaceChildren(...[verdict, codeBlock(isJson ? pretty(value) : text, "json")].filter(Boolean));
  }

  #verdict(isJson, value, answer) {
    if (!isJson) {
      const why = answer.finishReason === "length" ? " It was cut by the limit of tokens: allow more in the settings." : "";
      return el("p", { class: "verdict bad", role: "status" }, `Not a complete document.${why}`);
    }
    const { faults, unchecked } = validate(this.schema, value);
    const note = unchecked.length > 0 ? ` Not checked in this page: ${unchecked.join(", ")}.` : "";
    if (faults.length === 0) return el("p", { class: "verdict good", role: "status" }, `Fits the schema.${note}`);
    return el("div", { class: "verdict bad", role: "status" }, "Does not fit the schema:", el("ul", {}, ...faults.map((one) => el("li", {}, one))), note);
  }
}

function parsed(text) {
  try {
    return { value: JSON.parse(text), isJson: true };
  } catch {
    return { value: null, isJson: false };
  }
}

function pretty(value) {
  return JSON.stringify(value, null, 2);
}

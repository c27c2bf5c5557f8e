// The tool tester: declares a tool, shows the calls of it, and goes on with results typed by hand.

import { el, freshId } from "./dom.js";
import { assistantMessage, requestBody, systemMessages } from "./state.js";
import { JsonField, Tester, questionField } from "./tester.js";

const EXAMPLE = {
  name: "get_weather",
  description: "The weather of a city now",
  parameters: {
    type: "object",
    properties: { city: { type: "string" }, unit: { enum: ["celsius", "fahrenheit"] } },
    required: ["city"],
    additionalProperties: false,
  },
};

export class ToolTester {
  #messages = [];
  #tools = [];

  constructor(root) {
    this.tool = new JsonField("Tool, as JSON (a list declares several)", JSON.stringify(EXAMPLE, null, 2), "name, description, parameters: as in the API.");
    this.question = questionField("What is the weather in Oslo?", this);
    this.choice = select([
      ["auto", "auto: the model decides"],
      ["required", "required: some tool is called"],
      ["none", "none: no tool is called"],
    ]);
    const id = freshId("choice");
    this.choice.id = id;
    this.tester = new Tester(root, {
      id: "tools",
      title: "Tool tester",
      intro: el("p", { class: "quiet" }, "You are the tool: see what the model calls, type what the tool says, and let the model go on."),
      fields: [this.tool.element, this.question.element, el("div", { class: "field" }, el("label", { for: id }, "Tool choice"), this.choice)],
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

  async #ask() {
    const declared = this.tool.read();
    if (declared === undefined) return;
    // Both the function alone and the API's wrapping of it are taken.
    this.#tools = [declared].flat().map((one) => (one?.type === "function" && one.function ? one : { type: "function", function: one }));
    this.#messages = [{ role: "user", content: this.question.input.value }];
    this.tester.clear();
    await this.#go(this.choice.value);
  }

  async #go(toolChoice) {
    const body = (settings) => requestBody(settings, [...systemMessages(settings), ...this.#messages], { tools: this.#tools, tool_choice: toolChoice });
    const answer = await this.tester.ask(body);
    if (answer?.state !== "done") return;
    this.#messages.push(assistantMessage(answer));
    if (answer.toolCalls.length > 0) this.#askResults(answer.toolCalls);
  }

  /** A field for what each tool says. */
  #askResults(calls) {
    const fields = calls.map((call) => {
      const id = freshId("result");
      const input = el("textarea", { class: "input mono", id, rows: 3, placeholder: '{"temperature": 7}', required: true });
      return { call, input, element: el("div", { class: "field" }, el("label", { for: id }, `Result of ${call.name}`), input) };
    });
    const form = el(
      "form",
      {
        class: "stack results-form",
        onsubmit: (event) => {
          event.preventDefault();
          if (this.tester.run) return;
          for (const { call, input } of fields) {
            this.#messages.push({ role: "tool", tool_call_id: call.id, content: input.value });
            input.readOnly = true;
          }
          button.remove();
          // A tool that must be called again and again would never let the model answer.
          this.#go("auto");
        },
      },
      ...fields.map((field) => field.element),
    );
    const button = el("button", { type: "submit", class: "button primary" }, "Hand back and go on");
    form.append(el("div", { class: "buttons" }, button));
    this.tester.results.append(form);
    fields[0].input.focus();
  }
}

function select(options) {
  return el("select", { class: "input" }, ...options.map(([value, label]) => el("option", { value }, label)));
}

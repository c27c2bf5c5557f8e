// Server-sent events, as far as a stream of answers needs them. Pure, but for the body that it reads.

/** More text than this without an end of line is not a stream of events. */
const MAX_LINE = 16 * 1024 * 1024;

/** Takes text in any pieces and gives the data of each event that is complete. */
export class EventParser {
  #rest = "";
  #data = [];

  /** The data of the events that `text` completes. */
  push(text) {
    const events = [];
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop();
    if (this.#rest.length > MAX_LINE) throw new Error("The server sent a line without end.");
    for (const line of lines) this.#line(line.endsWith("\r") ? line.slice(0, -1) : line, events);
    return events;
  }

  #line(line, events) {
    if (line === "") {
      if (this.#data.length > 0) events.push(this.#data.join("\n"));
      this.#data = [];
    } else if (line.startsWith("data:")) {
      this.#data.push(line.startsWith("data: ") ? line.slice(6) : line.slice(5));
    }
    // Comments (which keep a connection open) and other fields say nothing here.
  }
}

/** The data of the events of a body, as they come. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(value);
    }
  } finally {
    // Whoever stops reading lets the server stop writing.
    reader.cancel().catch(() => {});
  }
}

//! Token ids → events: decoding, splitting into thinking, answer and tool calls, stop texts.

use ponder_effort::{StopStrings, control::Place};
use ponder_tokenizer::{
    DecodeStream,
    split::{ChatFormat, Part, Splitter},
};
use serde_json::Value;

use crate::{EngineError, Event, load::TextParts};

/// The text side of one answer.
#[derive(Clone)]
pub(crate) struct TextStream {
    decode: DecodeStream,
    splitter: Splitter,
    stop: StopStrings,
    last: u32,
    stopped: bool,
    called_tools: bool,
    answered: bool,
    /// Whether anything of the answer has come, which a stop text may still hold back.
    has_begun: bool,
}

impl TextStream {
    /// What follows a prompt, of which the end is enough.
    pub(crate) fn new(text: &TextParts, prompt: &str, tools: &[Value], stop: StopStrings) -> Self {
        let splitter = Splitter::new(&text.format, prompt, tools);
        Self::with(text.tokenizer.decode_stream(), splitter, stop)
    }

    /// What follows a prompt without a template: all of it is content, but control tokens.
    pub(crate) fn raw(text: &TextParts, stop: StopStrings) -> Self {
        let splitter = Splitter::new(&ChatFormat::none(), "", &[]);
        Self::with(
            text.tokenizer.decode_stream_skipping_special(),
            splitter,
            stop,
        )
    }

    fn with(decode: DecodeStream, splitter: Splitter, stop: StopStrings) -> Self {
        Self {
            decode,
            splitter,
            stop,
            last: 0,
            stopped: false,
            called_tools: false,
            answered: false,
            has_begun: false,
        }
    }

    /// Takes one token.
    pub(crate) fn push(&mut self, token: u32, events: &mut Vec<Event>) -> Result<(), EngineError> {
        self.last = token;
        let text = self.decode.push(token)?;
        let parts = self.splitter.push(token, &text);
        self.emit(parts, events);
        Ok(())
    }

    /// From here on everything is content, whatever it looks like.
    pub(crate) fn begin_document(&mut self, events: &mut Vec<Event>) {
        let parts = self.splitter.begin_document();
        self.emit(parts, events);
    }

    /// Flushes what was held back.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>) {
        let rest = self.decode.finish();
        if !rest.is_empty() {
            let parts = self.splitter.push(self.last, &rest);
            self.emit(parts, events);
        }
        let parts = self.splitter.finish();
        self.emit(parts, events);
        if !self.stopped {
            let held = self.stop.finish().to_owned();
            self.content(held, events);
        }
    }

    /// Whether a stop text was met.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether the model called a tool.
    pub(crate) fn called_tools(&self) -> bool {
        self.called_tools
    }

    /// Whether anything but thinking has come.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Whether the next token belongs to a thought.
    pub(crate) fn in_reasoning(&self) -> bool {
        self.splitter.in_reasoning()
    }

    /// Where the text stands.
    pub(crate) fn place(&self) -> Place {
        let position = self.splitter.position();
        Place {
            in_thought: position.in_reasoning,
            thought_tokens: position.reasoning_tokens,
            marker_bytes: position.marker_bytes,
            marker_tokens: position.pending_tokens,
            answered: self.has_begun || position.in_call,
        }
    }

    /// Whether the next token belongs to a tool call.
    pub(crate) fn in_call(&self) -> bool {
        self.splitter.position().in_call
    }

    /// Tokens of the thinking so far.
    pub(crate) fn reasoning_tokens(&self) -> usize {
        self.splitter.reasoning_tokens()
    }

    fn emit(&mut self, parts: Vec<Part>, events: &mut Vec<Event>) {
        for part in parts {
            match part {
                _ if self.stopped => {}
                Part::Reasoning(text) => events.push(Event::Reasoning(text)),
                Part::Content(text) => {
                    self.has_begun |= !text.is_empty();
                    let emitted = self.stop.push(&text);
                    self.stopped = emitted.stop.is_some();
                    let text = emitted.text.to_owned();
                    self.content(text, events);
                }
                Part::ToolCall(call) => {
                    self.called_tools = true;
                    self.answered = true;
                    self.has_begun = true;
                    events.push(Event::ToolCall(call));
                }
            }
        }
    }

    fn content(&mut self, text: String, events: &mut Vec<Event>) {
        if !text.is_empty() {
            self.answered = true;
            events.push(Event::Content(text));
        }
    }
}

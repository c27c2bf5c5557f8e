//! [`Splitter`]: pieces into what the reader sees, and the count of reasoning tokens.

use std::collections::VecDeque;

use serde_json::Value as Json;

use crate::chat::{FunctionCall, ToolCall};
use crate::tools::Schemas;

use super::format::ChatFormat;
use super::headers::HeaderScanner;
use super::scan::{Edge, Piece, Scanner};

/// A stretch of a turn, in order; neighbours of the same kind belong together.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A thought, or more of it.
    Reasoning(String),
    /// The answer, or more of it.
    Content(String),
    /// A complete call; its arguments are the text of a JSON object.
    ToolCall(ToolCall),
}

/// Where a turn stands, from [`Splitter::position`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Inside a thought.
    pub in_reasoning: bool,
    /// Tokens of thoughts, those included that are not decided yet and stand in one.
    pub reasoning_tokens: usize,
    /// Bytes at the end that may become the close marker, inside a thought, or else the open one.
    pub marker_bytes: usize,
    /// Outside of a thought: tokens that are not decided, and belong to one if it opens.
    pub pending_tokens: usize,
    /// Inside a tool call that is not complete.
    pub in_call: bool,
}

#[derive(Debug, Clone)]
enum Pieces {
    Markers(Box<Scanner>),
    Headers(Box<HeaderScanner>),
    /// All that comes is content.
    Document,
}

/// Splits one turn as it arrives; the rules stand in the [module's documentation](super).
#[derive(Debug, Clone)]
pub struct Splitter {
    pieces: Pieces,
    /// The thought has not shown anything but white space yet.
    blank_thought: bool,
    /// A thought or a call came before, so white space at the content's start is layout.
    skip_blank: bool,
    /// Words of the content have come.
    has_content: bool,
    /// White space that is layout if an edge follows.
    blank: String,
    n_calls: usize,
    /// Where each token starts whose stretch is not decided yet, in bytes of the turn.
    tokens: VecDeque<u64>,
    received: u64,
    decided: u64,
    reasoning_tokens: usize,
}

impl Splitter {
    /// A splitter for the turn that follows `prompt` (its tail is enough) with these tools on
    /// offer. Without tools, nothing is read as a call.
    pub fn new(format: &ChatFormat, prompt: &str, tools: &[Json]) -> Self {
        let in_thought = format.starts_in_reasoning(prompt);
        let schemas = Schemas::new(tools);
        let pieces = match &format.headers {
            Some(headers) => Pieces::Headers(Box::new(HeaderScanner::new(
                format, headers, schemas, prompt,
            ))),
            None => Pieces::Markers(Box::new(Scanner::new(
                format,
                schemas,
                !tools.is_empty(),
                in_thought,
            ))),
        };
        Self {
            pieces,
            blank_thought: true,
            skip_blank: false,
            has_content: false,
            blank: String::new(),
            n_calls: 0,
            tokens: VecDeque::new(),
            received: 0,
            decided: 0,
            reasoning_tokens: 0,
        }
    }

    /// Takes a token's text (empty while a character is unfinished) and returns what is certain
    /// by now. The text must hold the markers, so special tokens are decoded as text too.
    pub fn push(&mut self, _token: u32, text: &str) -> Vec<Part> {
        self.tokens.push_back(self.received);
        self.received += text.len() as u64;
        let mut pieces = Vec::new();
        match &mut self.pieces {
            Pieces::Markers(scanner) => scanner.push(text, &mut pieces),
            Pieces::Headers(scanner) => scanner.push(text, &mut pieces),
            Pieces::Document if text.is_empty() => {}
            Pieces::Document => pieces.push(Piece::Content(text.to_owned())),
        }
        self.show(pieces)
    }

    /// What comes from here on is a document: content as it is, in which no marker means anything.
    /// White space before it is layout.
    pub fn begin_document(&mut self) -> Vec<Part> {
        let mut pieces = Vec::new();
        match &mut self.pieces {
            Pieces::Markers(scanner) => scanner.finish(&mut pieces),
            Pieces::Headers(scanner) => scanner.finish(&mut pieces),
            Pieces::Document => return Vec::new(),
        }
        self.blank.clear();
        let parts = self.show(pieces);
        self.blank.clear();
        self.skip_blank = false;
        self.pieces = Pieces::Document;
        parts
    }

    /// The end of the turn: what was held back.
    pub fn finish(&mut self) -> Vec<Part> {
        let mut pieces = Vec::new();
        match &mut self.pieces {
            Pieces::Markers(scanner) => scanner.finish(&mut pieces),
            Pieces::Headers(scanner) => scanner.finish(&mut pieces),
            Pieces::Document => {}
        }
        let mut parts = self.show(pieces);
        // Tokens without text at the end belong to where the turn stopped.
        let rest = self.tokens.drain(..).count();
        if self.in_reasoning() {
            self.reasoning_tokens += rest;
        } else if !self.blank.is_empty() {
            push_part(&mut parts, Part::Content(std::mem::take(&mut self.blank)));
        }
        self.blank.clear();
        parts
    }

    /// Whether the turn stands inside a thought, as far as it is decided.
    pub fn in_reasoning(&self) -> bool {
        match &self.pieces {
            Pieces::Markers(scanner) => scanner.in_thought(),
            Pieces::Headers(scanner) => scanner.in_thought(),
            Pieces::Document => false,
        }
    }

    /// Where the turn stands, as far as it is decided, and what may come of the rest.
    pub fn position(&self) -> Position {
        let in_reasoning = self.in_reasoning();
        let (in_call, marker_bytes) = match &self.pieces {
            Pieces::Markers(scanner) => (scanner.in_call(), scanner.marker_bytes()),
            Pieces::Headers(scanner) => (scanner.in_call(), scanner.marker_bytes()),
            Pieces::Document => (false, 0),
        };
        let n_pending = self.tokens.len();
        Position {
            in_reasoning,
            reasoning_tokens: self.reasoning_tokens + if in_reasoning { n_pending } else { 0 },
            marker_bytes,
            pending_tokens: if in_reasoning { 0 } else { n_pending },
            in_call,
        }
    }

    /// Tokens of thoughts so far: those whose text begins inside a thought, its markers
    /// included. Tokens of the prompt do not count, nor do those that are not decided yet.
    pub fn reasoning_tokens(&self) -> usize {
        self.reasoning_tokens
    }

    fn show(&mut self, pieces: Vec<Piece>) -> Vec<Part> {
        let mut parts = Vec::new();
        for piece in pieces {
            self.count(&piece);
            match piece {
                Piece::Reasoning(text) => self.show_reasoning(&text, &mut parts),
                Piece::Content(text) => self.show_content(&text, &mut parts),
                Piece::Marker { edge, .. } => self.show_marker(edge, &mut parts),
                Piece::Calls { calls, .. } => {
                    self.blank.clear();
                    self.skip_blank = true;
                    for call in calls {
                        let arguments = Json::Object(call.arguments).to_string();
                        parts.push(Part::ToolCall(ToolCall {
                            id: Some(format!("call_{}", self.n_calls)),
                            kind: "function".to_owned(),
                            function: FunctionCall {
                                name: call.name,
                                arguments: Json::String(arguments),
                            },
                        }));
                        self.n_calls += 1;
                    }
                }
            }
        }
        parts
    }

    /// Attributes the tokens that begin in this piece.
    fn count(&mut self, piece: &Piece) {
        self.decided += piece.raw().len() as u64;
        let thought = match piece {
            Piece::Reasoning(_) => true,
            Piece::Marker { edge, .. } => *edge != Edge::Other,
            Piece::Content(_) | Piece::Calls { .. } => false,
        };
        while self
            .tokens
            .front()
            .is_some_and(|&start| start < self.decided)
        {
            self.tokens.pop_front();
            self.reasoning_tokens += usize::from(thought);
        }
    }

    fn show_marker(&mut self, edge: Edge, parts: &mut Vec<Part>) {
        match edge {
            // White space around a thought is layout.
            Edge::ThoughtStart | Edge::ThoughtEnd => {
                self.blank.clear();
                self.blank_thought = true;
                self.skip_blank = true;
            }
            Edge::Other if !self.blank.is_empty() && self.has_content => {
                push_part(parts, Part::Content(std::mem::take(&mut self.blank)));
            }
            // So it is before the first words.
            Edge::Other => self.blank.clear(),
        }
    }

    fn show_reasoning(&mut self, text: &str, parts: &mut Vec<Part>) {
        self.skip_blank = true;
        let text = if self.blank_thought {
            text.trim_start()
        } else {
            text
        };
        if text.is_empty() {
            return;
        }
        self.blank_thought = false;
        let shown = self.hold_blank(text);
        push_part(parts, Part::Reasoning(shown));
    }

    fn show_content(&mut self, text: &str, parts: &mut Vec<Part>) {
        let text = if self.skip_blank {
            text.trim_start()
        } else {
            text
        };
        if text.is_empty() {
            return;
        }
        self.skip_blank &= text.trim().is_empty();
        self.has_content |= !text.trim().is_empty();
        let shown = self.hold_blank(text);
        push_part(parts, Part::Content(shown));
    }

    /// What was held back with `text` behind it, less the white space at the end.
    fn hold_blank(&mut self, text: &str) -> String {
        let mut shown = std::mem::take(&mut self.blank) + text;
        self.blank = shown.split_off(shown.trim_end().len());
        shown
    }
}

/// Appends a part, joined with the one before where it is more of the same.
fn push_part(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (Some(Part::Reasoning(last)), Part::Reasoning(text))
        | (Some(Part::Content(last)), Part::Content(text)) => last.push_str(&text),
        (_, Part::Reasoning(text) | Part::Content(text)) if text.is_empty() => {}
        (_, part) => parts.push(part),
    }
}

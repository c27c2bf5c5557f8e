//! Text into pieces, losing nothing: the raw text of the pieces is the text that came in.
//!
//! [`Scanner`] handles formats of markers in plain text; [`HeaderScanner`](super::headers) those
//! of messages with headers.

use crate::tools::{JsonEnd, ParsedCall, Schemas};

use super::format::ChatFormat;
use super::window::{find, held_back};

/// A stretch of what the model wrote.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Reasoning(String),
    Content(String),
    /// Layout.
    Marker {
        raw: String,
        edge: Edge,
    },
    Calls {
        raw: String,
        calls: Vec<ParsedCall>,
    },
}

/// Where a call's name stands before its arguments, it ends within this many bytes.
const MAX_NAME_BYTES: usize = 512;

/// What lies behind a marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    ThoughtStart,
    ThoughtEnd,
    Other,
}

impl Piece {
    pub(super) fn raw(&self) -> &str {
        match self {
            Self::Reasoning(raw) | Self::Content(raw) => raw,
            Self::Marker { raw, .. } | Self::Calls { raw, .. } => raw,
        }
    }
}

#[derive(Debug, Clone)]
enum State {
    /// `fresh`: nothing but white space since the thought began.
    Reasoning { fresh: bool },
    /// `fresh`: nothing but white space since the turn, the last thought or the last call.
    Content { fresh: bool },
    /// Inside a tool call. The buffer starts with `open`; the close marker is not before `from`.
    Tool {
        open: usize,
        from: usize,
        json: JsonEnd,
    },
}

/// How far the text of a tool call is decided.
enum Poll {
    Pending,
    /// The first bytes of the buffer are calls.
    Calls(usize, Vec<ParsedCall>),
    /// The first bytes of the buffer are no calls.
    NoCall(usize),
}

/// Splits text with markers.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    format: ChatFormat,
    schemas: Schemas,
    state: State,
    /// What is not decided yet.
    buf: String,
}

impl Scanner {
    /// `tools`: whether calls are looked for.
    pub(super) fn new(
        format: &ChatFormat,
        schemas: Schemas,
        tools: bool,
        in_thought: bool,
    ) -> Self {
        let mut format = format.clone();
        if !tools {
            format.tools = None;
        }
        let state = match in_thought {
            true => State::Reasoning { fresh: true },
            false => State::Content { fresh: true },
        };
        Self {
            format,
            schemas,
            state,
            buf: String::new(),
        }
    }

    pub(super) fn in_thought(&self) -> bool {
        matches!(self.state, State::Reasoning { .. })
    }

    pub(super) fn in_call(&self) -> bool {
        matches!(self.state, State::Tool { .. })
    }

    /// Bytes at the end that may become the marker that ends what the text stands in.
    pub(super) fn marker_bytes(&self) -> usize {
        let Some(reasoning) = &self.format.reasoning else {
            return 0;
        };
        match self.state {
            State::Reasoning { .. } => held_back(&self.buf, &[reasoning.close.as_str()]),
            State::Content { fresh } if fresh || reasoning.anywhere => {
                held_back(&self.buf, &[reasoning.open.as_str()])
            }
            State::Content { .. } | State::Tool { .. } => 0,
        }
    }

    pub(super) fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        self.buf.push_str(text);
        while self.step(false, out) {}
    }

    /// The end of the turn: nothing more will become a marker.
    pub(super) fn finish(&mut self, out: &mut Vec<Piece>) {
        while self.step(true, out) {}
    }

    /// Decides the next stretch; `false` when more text is needed.
    fn step(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        if self.buf.is_empty() {
            return false;
        }
        match self.state {
            State::Reasoning { fresh } => self.step_reasoning(fresh, end, out),
            State::Content { fresh } => self.step_content(fresh, end, out),
            State::Tool { .. } => self.step_tool(end, out),
        }
    }

    fn step_reasoning(&mut self, fresh: bool, end: bool, out: &mut Vec<Piece>) -> bool {
        let Some(reasoning) = &self.format.reasoning else {
            return false;
        };
        // A model may repeat the open marker that the prompt already holds.
        let open = if fresh { reasoning.open.as_str() } else { "" };
        let markers = [reasoning.close.as_str(), open];
        match find(&self.buf, &markers) {
            Some((at, 0)) => {
                let len = reasoning.close.len();
                self.emit_text(at, true, out);
                self.emit_marker(len, Edge::ThoughtEnd, out);
                self.state = State::Content { fresh: true };
                true
            }
            Some((at, _)) if self.buf[..at].trim().is_empty() => {
                let len = reasoning.open.len();
                self.emit_text(at, true, out);
                self.emit_marker(len, Edge::ThoughtStart, out);
                self.state = State::Reasoning { fresh: false };
                true
            }
            // Behind words it is part of the thought; what follows is looked at anew.
            Some((at, _)) => {
                let len = at + reasoning.open.len();
                self.emit_plain(len, true, out)
            }
            None => {
                let held = if end {
                    0
                } else {
                    held_back(&self.buf, &markers)
                };
                self.emit_plain(self.buf.len() - held, true, out)
            }
        }
    }

    fn step_content(&mut self, fresh: bool, end: bool, out: &mut Vec<Piece>) -> bool {
        if fresh && self.step_bare_call(end, out) {
            return true;
        }
        if fresh && self.is_awaiting_bare_call() && !end {
            return false;
        }
        let reasoning = self.format.reasoning.as_ref();
        let think = reasoning
            .filter(|r| fresh || r.anywhere)
            .map_or("", |r| r.open.as_str());
        let anywhere = reasoning.is_some_and(|r| r.anywhere);
        let tool = self
            .format
            .tools
            .as_ref()
            .map_or("", |tools| tools.open.as_str());
        let mut markers = vec![think, tool];
        markers.extend(self.format.drop.iter().map(String::as_str));
        match find(&self.buf, &markers) {
            Some((at, 0)) if anywhere || self.buf[..at].trim().is_empty() => {
                let len = think.len();
                self.emit_text(at, false, out);
                self.emit_marker(len, Edge::ThoughtStart, out);
                self.state = State::Reasoning { fresh: false };
                true
            }
            // Behind words the marker is text; what follows is looked at anew.
            Some((at, 0)) => {
                let len = at + think.len();
                self.emit_plain(len, false, out)
            }
            Some((at, 1)) => {
                let open = tool.len();
                self.emit_text(at, false, out);
                self.state = State::Tool {
                    open,
                    from: open,
                    json: JsonEnd::default(),
                };
                true
            }
            Some((at, i)) => {
                let len = markers[i].len();
                let fresh = fresh && self.buf[..at].trim().is_empty();
                self.emit_text(at, false, out);
                self.emit_marker(len, Edge::Other, out);
                self.state = State::Content { fresh };
                true
            }
            None => {
                let held = if end {
                    0
                } else {
                    held_back(&self.buf, &markers)
                };
                self.emit_plain(self.buf.len() - held, false, out)
            }
        }
    }

    /// White space so far, or the beginning of what may be a call without marker.
    fn is_awaiting_bare_call(&self) -> bool {
        let bare = self.format.tools.as_ref().is_some_and(|tools| tools.bare);
        bare && self.buf.trim().is_empty()
    }

    /// Enters a tool call without marker where the turn begins with a brace.
    fn step_bare_call(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        let bare = self.format.tools.as_ref().is_some_and(|tools| tools.bare);
        let text = self.buf.trim_start();
        if !bare || !text.starts_with('{') || (end && text.len() < 2) {
            return false;
        }
        let layout = self.buf.len() - text.len();
        self.emit_text(layout, false, out);
        self.state = State::Tool {
            open: 0,
            from: 0,
            json: JsonEnd::default(),
        };
        true
    }

    fn step_tool(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        match self.poll_tool(end) {
            Poll::Pending => false,
            Poll::Calls(len, calls) => {
                let raw = take(&mut self.buf, len);
                out.push(Piece::Calls { raw, calls });
                self.state = State::Content { fresh: true };
                true
            }
            Poll::NoCall(len) => {
                let raw = take(&mut self.buf, len);
                out.push(Piece::Content(raw));
                self.state = State::Content { fresh: false };
                true
            }
        }
    }

    fn poll_tool(&mut self, end: bool) -> Poll {
        let (Some(tools), State::Tool { open, from, json }) = (&self.format.tools, &mut self.state)
        else {
            return Poll::NoCall(self.buf.len());
        };
        let body = &self.buf[*open..];
        let syntax = &tools.syntax;
        let parse = |body: &str| syntax.parse(body, &self.schemas);
        let verdict = |len: usize, body: &str| match parse(body) {
            Some(calls) => Poll::Calls(len, calls),
            None => Poll::NoCall(len),
        };
        if *open == 0 && !may_be_bare_call(body) {
            // Only the brace is judged: what follows it may hold a marker.
            return Poll::NoCall(1);
        }
        let close = tools.close.as_deref().filter(|_| *open > 0);
        let Some(close) = close else {
            let Some(start) = tools.syntax.json_start(body) else {
                let hopeless = end || body.len() > MAX_NAME_BYTES;
                return if hopeless {
                    Poll::NoCall(self.buf.len())
                } else {
                    Poll::Pending
                };
            };
            json.skip_to(start);
            return match json.advance(body) {
                // More calls may follow, but each stands for itself.
                Some(len) => verdict(*open + len, &body[..len]),
                None if end => verdict(self.buf.len(), body),
                None => Poll::Pending,
            };
        };
        while let Some(at) = self.buf[*from..].find(close).map(|at| *from + at) {
            if tools.syntax.is_json() {
                while json.advance(&self.buf[*open..at]).is_some() {}
                if json.is_inside() {
                    // The marker stands in a string of the arguments.
                    *from = at + close.len();
                    continue;
                }
            }
            let body = &self.buf[*open..at];
            if syntax.ends_in_text(body) {
                *from = at + close.len();
                continue;
            }
            return verdict(at + close.len(), body);
        }
        if end {
            // A text of the arguments that never ends was none.
            return match self.buf[*open..].find(close).map(|at| *open + at) {
                Some(at) => verdict(at + close.len(), &self.buf[*open..at]),
                None => verdict(self.buf.len(), &self.buf[*open..]),
            };
        }
        let keep = (self.buf.len() + 1).saturating_sub(close.len());
        *from = (*from).max(
            (0..=keep)
                .rev()
                .find(|&at| self.buf.is_char_boundary(at))
                .unwrap_or(0),
        );
        Poll::Pending
    }

    /// Emits text and stays in the state, less fresh if it was not only white space.
    fn emit_plain(&mut self, len: usize, thought: bool, out: &mut Vec<Piece>) -> bool {
        let blank = self.buf[..len].trim().is_empty();
        match &mut self.state {
            State::Reasoning { fresh } | State::Content { fresh } => *fresh &= blank,
            State::Tool { .. } => {}
        }
        self.emit_text(len, thought, out);
        len > 0
    }

    fn emit_text(&mut self, len: usize, thought: bool, out: &mut Vec<Piece>) {
        if len > 0 {
            let raw = take(&mut self.buf, len);
            out.push(if thought {
                Piece::Reasoning(raw)
            } else {
                Piece::Content(raw)
            });
        }
    }

    fn emit_marker(&mut self, len: usize, edge: Edge, out: &mut Vec<Piece>) {
        let raw = take(&mut self.buf, len);
        out.push(Piece::Marker { raw, edge });
    }
}

/// Whether JSON that begins like this can be a call, judged by its first key.
fn may_be_bare_call(text: &str) -> bool {
    const KEYS: [&str; 4] = ["name", "type", "function", "parameters"];
    let Some(inner) = text.strip_prefix('{') else {
        return false;
    };
    let inner = inner.trim_start();
    if inner.is_empty() {
        return true;
    }
    let Some(key) = inner.strip_prefix('"') else {
        return false;
    };
    match key.split_once('"') {
        Some((key, _)) => KEYS.contains(&key),
        None => KEYS.iter().any(|name| name.starts_with(key)),
    }
}

/// Cuts the first `len` bytes off `buf`.
pub(super) fn take(buf: &mut String, len: usize) -> String {
    let rest = buf.split_off(len);
    std::mem::replace(buf, rest)
}

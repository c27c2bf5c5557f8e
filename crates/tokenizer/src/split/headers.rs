//! Messages with headers: `<|start|>assistant<|channel|>analysis<|message|>…<|end|>`.
//!
//! The header says what the body is: a recipient (`to=functions.x`) makes it a tool call, a
//! channel (`analysis`) a thought, everything else content. As in [`scan`](super::scan),
//! nothing is lost.

use serde_json::{Map, Value as Json};

use crate::tools::{ParsedCall, Schemas};

use super::format::{ChatFormat, HeaderFormat};
use super::scan::{Edge, Piece, take};
use super::window::{find, held_back};

/// A longer header is no header: the model does not write messages.
const MAX_HEADER_BYTES: usize = 512;

/// What a message is, by its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Reasoning,
    Content,
    Tool(String),
}

impl HeaderFormat {
    /// What follows the last start marker of a prompt, and whether that header is complete.
    pub fn open_header<'a>(&self, prompt: &'a str) -> Option<(&'a str, bool)> {
        let (_, header) = prompt.rsplit_once(self.start.as_str())?;
        match header.split_once(self.message.as_str()) {
            Some((_, body)) if self.end.iter().any(|end| body.contains(end.as_str())) => None,
            Some((header, _)) => Some((header, true)),
            None => Some((header, false)),
        }
    }

    pub(super) fn kind(&self, header: &str) -> Kind {
        if let Some(name) = self.tool(header) {
            return Kind::Tool(name.to_owned());
        }
        match self
            .reasoning
            .iter()
            .any(|mark| header.contains(mark.as_str()))
        {
            true => Kind::Reasoning,
            false => Kind::Content,
        }
    }

    /// The recipient behind `to=`, if it is a tool.
    fn tool<'a>(&self, header: &'a str) -> Option<&'a str> {
        let (_, recipient) = header.split_once("to=")?;
        let recipient = recipient.split([' ', '<', '\n']).next()?;
        let name = recipient
            .strip_prefix(self.namespace.as_str())
            .unwrap_or(recipient);
        (!name.is_empty() && !self.recipients.iter().any(|known| known == recipient))
            .then_some(name)
    }
}

#[derive(Debug, Clone)]
enum State {
    /// Between messages.
    Between,
    /// Inside a header, of which `seed` came before the buffer.
    Header { seed: String },
    /// Inside a body. A tool's body is kept until it ends; the end is not before `from`.
    Body {
        kind: Kind,
        header: String,
        from: usize,
    },
}

/// Splits messages with headers.
#[derive(Debug, Clone)]
pub(super) struct HeaderScanner {
    headers: HeaderFormat,
    format: ChatFormat,
    schemas: Schemas,
    state: State,
    buf: String,
}

impl HeaderScanner {
    pub(super) fn new(
        format: &ChatFormat,
        headers: &HeaderFormat,
        schemas: Schemas,
        prompt: &str,
    ) -> Self {
        let state = match headers.open_header(prompt) {
            Some((header, true)) => State::Body {
                kind: headers.kind(header),
                header: String::new(),
                from: 0,
            },
            Some((header, false)) => State::Header {
                seed: header.to_owned(),
            },
            None => State::Between,
        };
        Self {
            headers: headers.clone(),
            format: format.clone(),
            schemas,
            state,
            buf: String::new(),
        }
    }

    pub(super) fn in_thought(&self) -> bool {
        matches!(
            self.state,
            State::Body {
                kind: Kind::Reasoning,
                ..
            }
        )
    }

    pub(super) fn in_call(&self) -> bool {
        matches!(
            self.state,
            State::Body {
                kind: Kind::Tool(_),
                ..
            }
        )
    }

    /// Bytes at the end that may become the marker of the thought's end, or the part of a header
    /// that makes it a thought's.
    pub(super) fn marker_bytes(&self) -> usize {
        let Some(markers) = self.format.thought_markers() else {
            return 0;
        };
        let (open, close) = (markers.open.as_str(), markers.close);
        match &self.state {
            State::Header { seed } => held_back(&(seed.clone() + &self.buf), &[open]),
            State::Between => held_back(&self.buf, &[open]),
            State::Body {
                kind: Kind::Reasoning,
                ..
            } => held_back(&self.buf, &[close]),
            State::Body { .. } => 0,
        }
    }

    pub(super) fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        self.buf.push_str(text);
        while self.step(false, out) {}
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Piece>) {
        while self.step(true, out) {}
    }

    fn step(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        if self.buf.is_empty() {
            // A call without arguments may end with its header.
            let kept = matches!(&self.state, State::Body { header, .. } if !header.is_empty());
            return end && kept && self.step_tool(end, out);
        }
        match &self.state {
            State::Between => self.step_between(end, out),
            State::Header { .. } => self.step_header(end, out),
            State::Body {
                kind: Kind::Tool(_),
                ..
            } => self.step_tool(end, out),
            State::Body { .. } => self.step_body(end, out),
        }
    }

    /// What opens the next header: the start marker, or the channel marker alone.
    fn openers(&self) -> [&str; 2] {
        [
            &self.headers.start,
            self.headers.channel.as_deref().unwrap_or(""),
        ]
    }

    fn step_between(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        let openers = self.openers();
        let found = find(&self.buf, &openers);
        let held = if end {
            0
        } else {
            held_back(&self.buf, &openers)
        };
        let len = found.map_or(self.buf.len() - held, |(at, _)| at);
        if len > 0 {
            let raw = take(&mut self.buf, len);
            out.push(Piece::Content(raw));
            return true;
        }
        match found {
            Some((_, i)) => self.open_header(i, out),
            None => false,
        }
    }

    /// The buffer begins with an opener: a header follows.
    fn open_header(&mut self, opener: usize, out: &mut Vec<Piece>) -> bool {
        let marker = self.openers()[opener].to_owned();
        let raw = take(&mut self.buf, marker.len());
        out.push(Piece::Marker {
            raw,
            edge: Edge::Other,
        });
        let seed = if opener == 0 { String::new() } else { marker };
        self.state = State::Header { seed };
        true
    }

    fn step_header(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        let State::Header { seed } = &self.state else {
            return false;
        };
        if let Some(at) = self
            .buf
            .find(self.headers.message.as_str())
            .filter(|&at| at <= MAX_HEADER_BYTES)
        {
            let header = seed.clone() + &self.buf[..at];
            let kind = self.headers.kind(&header);
            let raw = take(&mut self.buf, at + self.headers.message.len());
            if matches!(kind, Kind::Tool(_)) {
                self.state = State::Body {
                    kind,
                    header: raw,
                    from: 0,
                };
                return true;
            }
            let edge = if kind == Kind::Reasoning {
                Edge::ThoughtStart
            } else {
                Edge::Other
            };
            out.push(Piece::Marker { raw, edge });
            self.state = State::Body {
                kind,
                header: String::new(),
                from: 0,
            };
            return true;
        }
        if end || self.buf.len() > MAX_HEADER_BYTES + self.headers.message.len() {
            self.state = State::Body {
                kind: Kind::Content,
                header: String::new(),
                from: 0,
            };
            return true;
        }
        false
    }

    fn step_body(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        let State::Body { kind, .. } = &self.state else {
            return false;
        };
        let thought = *kind == Kind::Reasoning;
        let mut markers: Vec<&str> = self.openers().to_vec();
        markers.extend(self.headers.end.iter().map(String::as_str));
        let found = find(&self.buf, &markers);
        let held = if end {
            0
        } else {
            held_back(&self.buf, &markers)
        };
        let len = found.map_or(self.buf.len() - held, |(at, _)| at);
        if len > 0 {
            let raw = take(&mut self.buf, len);
            out.push(if thought {
                Piece::Reasoning(raw)
            } else {
                Piece::Content(raw)
            });
            return true;
        }
        let edge = if thought {
            Edge::ThoughtEnd
        } else {
            Edge::Other
        };
        match found {
            // The message was not closed: a header follows at once.
            Some((_, i)) if i < 2 => {
                self.open_header(i, out);
                if let Some(Piece::Marker { edge: last, .. }) = out.last_mut() {
                    *last = edge;
                }
                true
            }
            Some((_, i)) => {
                let len = markers[i].len();
                let raw = take(&mut self.buf, len);
                out.push(Piece::Marker { raw, edge });
                self.state = State::Between;
                true
            }
            None => false,
        }
    }

    fn step_tool(&mut self, end: bool, out: &mut Vec<Piece>) -> bool {
        let State::Body {
            kind: Kind::Tool(name),
            header,
            from,
        } = &mut self.state
        else {
            return false;
        };
        let mut markers = vec![self.headers.start.as_str()];
        markers.extend(self.headers.end.iter().map(String::as_str));
        let found = find(&self.buf[*from..], &markers).map(|(at, i)| (*from + at, i));
        if found.is_none() && !end {
            // The next look starts where a marker may have begun.
            *from = self.buf.len() - held_back(&self.buf, &markers);
            return false;
        }
        let body_len = found.map_or(self.buf.len(), |(at, _)| at);
        let marker_len = found
            .filter(|&(_, i)| i > 0)
            .map_or(0, |(_, i)| markers[i].len());
        let calls = body_calls(&self.format, name, &self.buf[..body_len], &self.schemas);
        let raw = std::mem::take(header) + &take(&mut self.buf, body_len + marker_len);
        out.push(match calls {
            Some(calls) => Piece::Calls { raw, calls },
            None => Piece::Content(raw),
        });
        self.state = State::Between;
        true
    }
}

/// The calls of a body: the arguments of the tool that the header names, or calls of the
/// format's own syntax.
fn body_calls(
    format: &ChatFormat,
    name: &str,
    body: &str,
    schemas: &Schemas,
) -> Option<Vec<ParsedCall>> {
    if let Some(tools) = format.tools.as_ref().filter(|tools| !tools.open.is_empty()) {
        let inner = body.trim().strip_prefix(tools.open.as_str())?;
        let inner = tools
            .close
            .as_deref()
            .and_then(|close| inner.strip_suffix(close))
            .unwrap_or(inner);
        return tools.syntax.parse(inner, schemas);
    }
    let arguments: Map<String, Json> = match body.trim() {
        "" => Map::new(),
        body => serde_json::from_str(body).ok()?,
    };
    Some(vec![ParsedCall {
        name: name.to_owned(),
        arguments,
    }])
}

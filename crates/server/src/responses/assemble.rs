//! Engine events → items of a response and the events that are streamed of them.
//!
//! [`Assembler`] does no I/O: what goes in are the engine's events, what comes out is what a client
//! is told, in the order that the specification gives.

use ponder_engine::{
    Event, FinishReason, ReasoningEnd, Summary, TokenChance, TokenReport, ToolCall,
};
use serde::Serialize;
use serde_json::Value;

use super::item::{LogProb, OutputItem, Part, Status, TopLogProb};
use super::object::{Failure, Incomplete, Response};
use super::sealed;
use crate::ids::new_id;

/// An event of the stream.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamEvent {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    body: Body,
}

/// What an event says beside its type and number.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Body {
    Response {
        response: Box<Response>,
    },
    Item {
        output_index: usize,
        item: OutputItem,
    },
    Part {
        #[serde(flatten)]
        place: Place,
        part: Part,
    },
    Delta {
        #[serde(flatten)]
        place: Place,
        delta: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<Vec<LogProb>>,
    },
    Text {
        #[serde(flatten)]
        place: Place,
        text: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<Vec<LogProb>>,
    },
    ArgumentsDelta {
        item_id: String,
        output_index: usize,
        delta: String,
    },
    Arguments {
        item_id: String,
        output_index: usize,
        name: String,
        arguments: String,
    },
    Progress {
        done: usize,
        total: usize,
        cached: usize,
    },
}

/// Where a part stands. Every item has one part.
#[derive(Clone, Debug, Serialize)]
struct Place {
    item_id: String,
    output_index: usize,
    content_index: usize,
}

/// What of a stream is on request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// How far the prompt is computed.
    pub(crate) progress: bool,
    /// How likely the tokens of messages were.
    pub(crate) logprobs: bool,
    /// Thoughts packed as `encrypted_content`, too.
    pub(crate) sealed: bool,
}

/// A thought or a message that goes on.
#[derive(Debug)]
struct Open {
    id: String,
    is_reasoning: bool,
    text: String,
    logprobs: Vec<LogProb>,
}

/// Puts a response together.
#[derive(Debug)]
pub(crate) struct Assembler {
    response: Response,
    wanted: Wanted,
    open: Option<Open>,
    /// Tokens whose text has not come yet.
    tokens: Vec<LogProb>,
    next: u64,
    events: Vec<StreamEvent>,
}

impl Assembler {
    /// Begins with a response of which nothing is there.
    pub(crate) fn new(response: Response, wanted: Wanted) -> Self {
        Self {
            response,
            wanted,
            open: None,
            tokens: Vec::new(),
            next: 0,
            events: Vec::new(),
        }
    }

    /// The response as it is now, without what is open.
    pub(crate) fn response(&self) -> &Response {
        &self.response
    }

    /// The events since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<StreamEvent> {
        std::mem::take(&mut self.events)
    }

    /// The first events.
    pub(crate) fn start(&mut self) {
        self.announce("response.created");
        self.announce(match self.response.status {
            Status::Queued => "response.queued",
            _ => "response.in_progress",
        });
    }

    /// Takes an event of the engine. `now`: seconds since 1970, for the end.
    pub(crate) fn push(&mut self, event: Event, now: u64) {
        if self.response.status == Status::Queued {
            self.response.status = Status::InProgress;
            self.announce("response.in_progress");
        }
        match event {
            Event::PromptProgress {
                done,
                total,
                cached,
            } if self.wanted.progress => self.emit(
                "response.prompt_progress",
                Body::Progress {
                    done,
                    total,
                    cached,
                },
            ),
            Event::PromptProgress { .. } => {}
            Event::Token(report) => self.token(report),
            Event::Reasoning(text) => self.text(true, text),
            Event::Content(text) => self.text(false, text),
            Event::ToolCall(call) => self.call(call),
            Event::Votes(votes) => self.response.votes = serde_json::to_value(votes).ok(),
            Event::Done(summary) => self.finish(summary, now),
        }
    }

    /// Ends with an error.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.close(Status::Incomplete);
        self.response.status = Status::Failed;
        self.response.error = Some(failure);
        self.announce("response.failed");
    }

    /// Ends what nobody waits for any more.
    pub(crate) fn abandon(&mut self) {
        self.close(Status::Incomplete);
        self.response.status = Status::Cancelled;
    }

    /// Whether the last event was the last.
    pub(crate) fn is_over(&self) -> bool {
        self.response.status.is_final()
    }

    fn finish(&mut self, summary: Summary, now: u64) {
        let (status, reason) = ending(summary.finish_reason);
        let said = |item: &OutputItem| !matches!(item, OutputItem::Reasoning { .. });
        let is_message = self.open.as_ref().is_some_and(|open| !open.is_reasoning);
        if !is_message && !self.response.output.iter().any(said) {
            // Clients look for a message where the model has said nothing, too.
            self.close(Status::Completed);
            self.open_text(false);
        }
        let unfinished = match status {
            Status::Completed => Status::Completed,
            _ => Status::Incomplete,
        };
        self.close(unfinished);
        self.response.status = status;
        self.response.incomplete_details = reason.map(|reason| Incomplete { reason });
        self.response.usage = Some(summary.usage.into());
        self.response.reasoning_ended_by = summary.reasoning_ended_by.map(end_name);
        self.response.completed_at = (status == Status::Completed).then_some(now);
        self.announce(match status {
            Status::Completed => "response.completed",
            _ => "response.incomplete",
        });
    }

    fn token(&mut self, report: TokenReport) {
        if self.wanted.logprobs && !report.is_reasoning {
            self.tokens.push(LogProb {
                token: text_of(&report.token),
                logprob: report.token.logprob,
                bytes: report.token.bytes,
                top_logprobs: report.top.into_iter().map(top).collect(),
            });
        }
    }

    fn text(&mut self, is_reasoning: bool, delta: String) {
        if delta.is_empty() {
            return;
        }
        if self
            .open
            .as_ref()
            .is_none_or(|open| open.is_reasoning != is_reasoning)
        {
            self.close(Status::Completed);
            self.open_text(is_reasoning);
        }
        let tokens = match is_reasoning {
            true => Vec::new(),
            false => std::mem::take(&mut self.tokens),
        };
        let Some(open) = &mut self.open else { return };
        open.text.push_str(&delta);
        open.logprobs.extend_from_slice(&tokens);
        let place = self.place();
        let (kind, logprobs) = match is_reasoning {
            true => ("response.reasoning_text.delta", None),
            false => ("response.output_text.delta", Some(tokens)),
        };
        self.emit(
            kind,
            Body::Delta {
                place,
                delta,
                logprobs,
            },
        );
    }

    fn open_text(&mut self, is_reasoning: bool) {
        let (id, part) = match is_reasoning {
            true => (new_id("rs_"), Part::reasoning("")),
            false => (new_id("msg_"), Part::output("", Vec::new())),
        };
        let item = match is_reasoning {
            true => OutputItem::reasoning(id.clone(), Status::InProgress, Vec::new()),
            false => OutputItem::message(id.clone(), Status::InProgress, Vec::new()),
        };
        self.item("response.output_item.added", item);
        self.open = Some(Open {
            id,
            is_reasoning,
            text: String::new(),
            logprobs: Vec::new(),
        });
        let place = self.place();
        self.emit("response.content_part.added", Body::Part { place, part });
    }

    /// Ends the item that is open, if one is.
    fn close(&mut self, status: Status) {
        let place = self.place();
        let Some(open) = self.open.take() else { return };
        let Open {
            id,
            is_reasoning,
            text,
            logprobs,
        } = open;
        let (kind, part, logprobs) = match is_reasoning {
            true => ("response.reasoning_text.done", Part::reasoning(&text), None),
            false => (
                "response.output_text.done",
                Part::output(&text, logprobs.clone()),
                Some(logprobs),
            ),
        };
        self.emit(
            kind,
            Body::Text {
                place: place.clone(),
                text,
                logprobs,
            },
        );
        let sealed = match &part {
            Part::ReasoningText { text } if self.wanted.sealed => Some(sealed::seal(text)),
            _ => None,
        };
        let content = vec![part.clone()];
        self.emit("response.content_part.done", Body::Part { place, part });
        let mut item = match is_reasoning {
            true => OutputItem::reasoning(id, status, content),
            false => OutputItem::message(id, status, content),
        };
        if let OutputItem::Reasoning {
            encrypted_content, ..
        } = &mut item
        {
            *encrypted_content = sealed;
        }
        self.done(item);
    }

    fn call(&mut self, call: ToolCall) {
        self.close(Status::Completed);
        // They are of the call, which says nothing of tokens.
        self.tokens.clear();
        let arguments = match call.function.arguments {
            Value::String(text) => text,
            Value::Null => "{}".to_owned(),
            value => value.to_string(),
        };
        let (id, name) = (new_id("fc_"), call.function.name);
        let call_id = call.id.unwrap_or_else(|| new_id("call_"));
        let item = |status, arguments: &str| OutputItem::FunctionCall {
            id: id.clone(),
            status,
            call_id: call_id.clone(),
            name: name.clone(),
            arguments: arguments.to_owned(),
        };
        let output_index = self.response.output.len();
        self.item("response.output_item.added", item(Status::InProgress, ""));
        self.emit(
            "response.function_call_arguments.delta",
            Body::ArgumentsDelta {
                item_id: id.clone(),
                output_index,
                delta: arguments.clone(),
            },
        );
        self.emit(
            "response.function_call_arguments.done",
            Body::Arguments {
                item_id: id.clone(),
                output_index,
                name: name.clone(),
                arguments: arguments.clone(),
            },
        );
        self.done(item(Status::Completed, &arguments));
    }

    fn done(&mut self, item: OutputItem) {
        self.item("response.output_item.done", item.clone());
        self.response.output.push(item);
    }

    fn place(&self) -> Place {
        Place {
            item_id: self
                .open
                .as_ref()
                .map(|open| open.id.clone())
                .unwrap_or_default(),
            output_index: self.response.output.len(),
            content_index: 0,
        }
    }

    fn item(&mut self, kind: &'static str, item: OutputItem) {
        let output_index = self.response.output.len();
        self.emit(kind, Body::Item { output_index, item });
    }

    fn announce(&mut self, kind: &'static str) {
        let response = Box::new(self.response.clone());
        self.emit(kind, Body::Response { response });
    }

    fn emit(&mut self, kind: &'static str, body: Body) {
        let sequence_number = self.next;
        self.next += 1;
        self.events.push(StreamEvent {
            kind,
            sequence_number,
            body,
        });
    }
}

/// How a response ends, and why before its end.
fn ending(reason: FinishReason) -> (Status, Option<&'static str>) {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => (Status::Completed, None),
        FinishReason::Length => (Status::Incomplete, Some("max_output_tokens")),
        FinishReason::Deadline => (Status::Incomplete, Some("deadline")),
        FinishReason::Loop => (Status::Incomplete, Some("loop")),
        FinishReason::Cancelled => (Status::Cancelled, None),
    }
}

fn end_name(end: ReasoningEnd) -> &'static str {
    match end {
        ReasoningEnd::Model => "model",
        ReasoningEnd::Budget => "budget",
        ReasoningEnd::Deadline => "deadline",
        ReasoningEnd::EarlyExit => "early_exit",
        ReasoningEnd::Loop => "loop",
        ReasoningEnd::User => "user",
    }
}

fn text_of(token: &TokenChance) -> String {
    String::from_utf8_lossy(&token.bytes).into_owned()
}

fn top(token: TokenChance) -> TopLogProb {
    TopLogProb {
        token: text_of(&token),
        logprob: token.logprob,
        bytes: token.bytes,
    }
}

#[cfg(test)]
mod tests;

//! [`Choice`]: one answer, put together event by event, and what each event adds to it.

use ponder_engine::{Event, FinishReason, Summary, TokenReport, ToolCall, VoteSummary};
use serde_json::{Value, json};

use super::logprobs;
use crate::ids;

/// One answer, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) reasoning: String,
    pub(crate) content: String,
    /// In OpenAI's shape.
    pub(crate) tool_calls: Vec<Value>,
    /// Tokens of `content`.
    pub(crate) logprobs: Vec<Value>,
    pub(crate) votes: Option<VoteSummary>,
    pub(crate) summary: Option<Summary>,
    /// Tokens whose text has not come yet.
    pending: Vec<TokenReport>,
}

/// What an event adds.
#[derive(Debug)]
pub(crate) enum Delta {
    Reasoning(String),
    /// Text, with the tokens that it is made of, if they were asked for.
    Content(String, Vec<Value>),
    /// The call with this index.
    ToolCall(usize, Value),
    Progress {
        done: usize,
        total: usize,
        cached: usize,
    },
    End,
}

impl Choice {
    /// Takes an event in; `None` where it says nothing by itself.
    pub(crate) fn take(&mut self, event: Event) -> Option<Delta> {
        match event {
            Event::PromptProgress {
                done,
                total,
                cached,
            } => Some(Delta::Progress {
                done,
                total,
                cached,
            }),
            Event::Reasoning(text) => {
                self.reasoning.push_str(&text);
                Some(Delta::Reasoning(text))
            }
            Event::Content(text) => {
                self.content.push_str(&text);
                let tokens: Vec<Value> = self.pending.drain(..).map(logprobs::of_chat).collect();
                self.logprobs.extend(tokens.iter().cloned());
                Some(Delta::Content(text, tokens))
            }
            Event::ToolCall(call) => {
                // A call is no text: its tokens are not part of the answer's.
                self.pending.clear();
                let call = call_json(call);
                self.tool_calls.push(call.clone());
                Some(Delta::ToolCall(self.tool_calls.len() - 1, call))
            }
            Event::Token(report) => {
                if !report.is_reasoning {
                    self.pending.push(report);
                }
                None
            }
            Event::Votes(votes) => {
                self.votes = Some(votes);
                None
            }
            Event::Done(summary) => {
                // What is left belongs to a text that ended the answer, and is not part of it.
                self.pending.clear();
                self.summary = Some(summary);
                Some(Delta::End)
            }
        }
    }
}

fn call_json(call: ToolCall) -> Value {
    let arguments = match call.function.arguments {
        Value::String(text) => text,
        Value::Null => "{}".to_owned(),
        other => other.to_string(),
    };
    json!({
        "id": call.id.unwrap_or_else(|| ids::new_id("call_")),
        "type": "function",
        "function": {"name": call.function.name, "arguments": arguments},
    })
}

/// The reason in OpenAI's words, which know three. An answer that was cut off has the reason `length`,
/// whatever cut it.
pub(crate) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::Length
        | FinishReason::Loop
        | FinishReason::Deadline
        | FinishReason::Cancelled => "length",
    }
}

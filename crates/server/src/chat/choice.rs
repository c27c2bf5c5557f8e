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

#[cfg(test)]
mod tests {
    use super::*;
    use ponder_engine::{FunctionCall, Timings, TokenChance, Usage};

    fn call(arguments: Value) -> Event {
        Event::ToolCall(ToolCall {
            id: None,
            kind: "function".to_owned(),
            function: FunctionCall {
                name: "add".to_owned(),
                arguments,
            },
        })
    }

    fn token(text: &str, is_reasoning: bool) -> Event {
        let token = TokenChance {
            id: 1,
            bytes: text.as_bytes().to_vec(),
            logprob: -0.1,
        };
        Event::Token(TokenReport {
            token,
            top: Vec::new(),
            is_reasoning,
        })
    }

    fn done(finish_reason: FinishReason) -> Event {
        Event::Done(Summary {
            finish_reason,
            reasoning_ended_by: None,
            usage: Usage::default(),
            timings: Timings::default(),
            confidence: 0.0,
        })
    }

    #[test]
    fn calls_are_numbered_and_have_their_arguments_as_text() {
        let mut choice = Choice::default();
        for (i, (arguments, text)) in [
            (json!({"b": 1, "a": 2}), r#"{"b":1,"a":2}"#),
            (json!("{\"a\": 1}"), r#"{"a": 1}"#),
            (Value::Null, "{}"),
        ]
        .into_iter()
        .enumerate()
        {
            let Some(Delta::ToolCall(index, call)) = choice.take(call(arguments)) else {
                panic!("no call");
            };
            assert_eq!(index, i);
            assert_eq!(call["type"], "function");
            assert_eq!(call["function"]["name"], "add");
            assert_eq!(call["function"]["arguments"], text);
        }
        let id = |i: usize| choice.tool_calls[i]["id"].as_str().expect("an id");
        assert!(id(0).starts_with("call_") && id(0) != id(1));
    }

    #[test]
    fn tokens_go_with_the_text_that_they_become() {
        let mut choice = Choice::default();
        choice.take(token("hm", true));
        choice.take(token("a", false));
        choice.take(token("b", false));
        let Some(Delta::Content(_, tokens)) = choice.take(Event::Content("ab".to_owned())) else {
            panic!("no content");
        };
        assert_eq!((tokens.len(), choice.logprobs.len()), (2, 2));
        // What follows is a text that ends the answer.
        choice.take(token("END", false));
        choice.take(done(FinishReason::Stop));
        assert_eq!(choice.logprobs.len(), 2);
    }

    #[test]
    fn openai_knows_three_reasons() {
        for (reason, name) in [
            (FinishReason::Stop, "stop"),
            (FinishReason::Length, "length"),
            (FinishReason::ToolCalls, "tool_calls"),
            (FinishReason::Cancelled, "length"),
            (FinishReason::Loop, "length"),
            (FinishReason::Deadline, "length"),
        ] {
            assert_eq!(finish_reason(reason), name);
        }
    }
}

//! An answer that is sent as it comes.
//!
//! First a chunk with the role for each choice, with the answer's id in it; then what the model says;
//! then a chunk with the reason of the end for each choice; then, if asked for, the usage; then
//! `[DONE]`.

use ponder_engine::Event;
use serde_json::{Value, json};

use super::choice::{Choice, Delta};
use super::request::StreamOptions;
use super::response::{Cost, Header, end_fields, timings};
use crate::http::ApiError;
use crate::http::sse::{self, Outbox, Speaker};

/// What is known of the answers that are being sent.
pub(super) struct Chunks {
    header: Header,
    options: StreamOptions,
    choices: Vec<Choice>,
}

impl Chunks {
    pub(super) fn new(header: Header, n: usize, options: StreamOptions) -> Self {
        Self {
            choices: (0..n).map(|_| Choice::default()).collect(),
            header,
            options,
        }
    }

    fn chunk<const N: usize>(&self, choices: Vec<Value>, more: [(&str, Value); N]) -> Value {
        let mut object = self.header.object("chat.completion.chunk", choices);
        if self.options.include_usage {
            object.insert("usage".to_owned(), Value::Null);
        }
        object.extend(more.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(object)
    }

    fn delta(&self, index: usize, delta: Value, logprobs: Value) -> Value {
        let choice = json!({
            "index": index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": null,
        });
        self.chunk(vec![choice], [])
    }

    fn end(&self, index: usize) -> Value {
        let choice = &self.choices[index];
        let mut object = json!({"index": index, "delta": {}, "logprobs": null});
        end_fields(choice, &mut object);
        let times = choice.summary.as_ref().map(timings);
        self.chunk(vec![object], [("timings", json!(times))])
    }

    fn say(&mut self, index: usize, delta: Delta) -> Option<Value> {
        let choice = &mut self.choices[index];
        // What has been sent need not be kept.
        choice.reasoning.clear();
        choice.content.clear();
        choice.logprobs.clear();
        Some(match delta {
            Delta::Reasoning(text) => {
                let delta = json!({"reasoning_content": text, "reasoning": text});
                self.delta(index, delta, Value::Null)
            }
            Delta::Content(text, tokens) => {
                let logprobs = match tokens.is_empty() {
                    true => Value::Null,
                    false => json!({"content": tokens, "refusal": null}),
                };
                self.delta(index, json!({"content": text}), logprobs)
            }
            Delta::ToolCall(place, mut call) => {
                call["index"] = json!(place);
                self.delta(index, json!({"tool_calls": [call]}), Value::Null)
            }
            Delta::Progress {
                done,
                total,
                cached,
            } => {
                // The prompt is the same for all choices, and computed once.
                if !self.options.prompt_progress || index > 0 {
                    return None;
                }
                let progress = json!({"processed": done, "total": total, "cached": cached});
                self.chunk(Vec::new(), [("prompt_progress", progress)])
            }
            Delta::End => self.end(index),
        })
    }
}

impl Speaker for Chunks {
    fn begin(&mut self, out: &mut Outbox) {
        for index in 0..self.choices.len() {
            let delta = json!({"role": "assistant", "content": "", "refusal": null});
            out.push_back(sse::data(&self.delta(index, delta, Value::Null)));
        }
    }

    fn take(&mut self, index: usize, event: Event, out: &mut Outbox) {
        let delta = self.choices[index].take(event);
        let chunk = delta.and_then(|delta| self.say(index, delta));
        out.extend(chunk.as_ref().map(sse::data));
    }

    fn finish(&mut self, out: &mut Outbox) {
        if self.options.include_usage {
            let mut cost = Cost::default();
            let summaries = self.choices.iter().filter_map(|choice| choice.summary);
            summaries.for_each(|summary| cost.add(&summary.usage));
            out.push_back(sse::data(&self.chunk(Vec::new(), [("usage", cost.json())])));
        }
        out.push_back(sse::done());
    }

    fn fail(&mut self, error: ApiError, out: &mut Outbox) {
        out.push_back(sse::data(&error.body()));
        out.push_back(sse::done());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_delta_with_its_index() {
        let header = Header::new("chatcmpl-1".to_owned(), "m");
        let mut chunks = Chunks::new(header, 1, StreamOptions::default());
        let call = json!({"id": "call_1", "type": "function",
                          "function": {"name": "f", "arguments": "{}"}});
        let chunk = chunks.say(0, Delta::ToolCall(1, call)).expect("a chunk");
        let expected = json!([{
            "id": "call_1", "type": "function", "index": 1,
            "function": {"name": "f", "arguments": "{}"},
        }]);
        let choice = &chunk["choices"][0];
        assert_eq!(choice["delta"]["tool_calls"], expected);
        assert_eq!(choice["finish_reason"], Value::Null);
        assert!(chunk.get("usage").is_none());
    }

    #[test]
    fn progress_is_told_once_and_on_request() {
        let progress = || Delta::Progress {
            done: 5,
            total: 9,
            cached: 2,
        };
        let chunks = |prompt_progress| {
            let options = StreamOptions {
                include_usage: true,
                prompt_progress,
            };
            Chunks::new(Header::new("x".to_owned(), "m"), 2, options)
        };
        assert_eq!(chunks(false).say(0, progress()), None);
        assert_eq!(chunks(true).say(1, progress()), None);
        let chunk = chunks(true).say(0, progress()).expect("a chunk");
        let expected = json!({"processed": 5, "total": 9, "cached": 2});
        assert_eq!(chunk["prompt_progress"], expected);
        assert_eq!(chunk["usage"], Value::Null);
    }
}

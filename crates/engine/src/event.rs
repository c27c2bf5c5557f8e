//! What an answer is made of.

use ponder_tokenizer::chat::ToolCall;
use serde::Serialize;

/// One step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Prompt tokens computed so far.
    PromptProgress {
        /// Computed, cached ones included.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
        /// Tokens that an earlier request had computed.
        cached: usize,
    },
    /// A piece of the thinking.
    Reasoning(String),
    /// A piece of the answer.
    Content(String),
    /// A whole call of a tool.
    ToolCall(ToolCall),
    /// The end; always the last event, unless there was an error.
    Done(Summary),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or a stop text did.
    Stop,
    /// The token limit or the context was reached.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The caller ended it.
    Cancelled,
}

/// Why the thinking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEnd {
    /// The model closed its thought.
    Model,
    /// The token limit was reached inside the thought.
    Budget,
    /// The caller ended it.
    User,
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of these, tokens that an earlier request had computed.
    pub cached_tokens: usize,
    /// Tokens that were generated, thinking included.
    pub completion_tokens: usize,
    /// Of these, tokens of the thinking.
    pub reasoning_tokens: usize,
}

/// How long it took. Seconds, and tokens per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// Loading the model.
    pub load_s: f64,
    /// From the request to the first token, whatever it is.
    pub ttft_s: f64,
    /// From the request to the first token that is not reasoning; absent if there was none.
    pub ttfo_s: Option<f64>,
    /// Prompt tokens that were computed, per second.
    pub prefill_tps: f64,
    /// Tokens after the first, per second.
    pub decode_tps: f64,
}

/// The end of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Why the thinking ended; `None` if there was none.
    pub reasoning_ended_by: Option<ReasoningEnd>,
    /// What it cost.
    pub usage: Usage,
    /// How long it took.
    pub timings: Timings,
}

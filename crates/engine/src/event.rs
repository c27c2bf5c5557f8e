//! What an answer is made of.

use ponder_effort::control::ThinkingEnd;
use ponder_tokenizer::chat::ToolCall;
use serde::{Deserialize, Serialize};

use crate::VoteSummary;

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
    /// A token that was drawn, before the text that it becomes; only where
    /// [`Request::report_tokens`](crate::Request::report_tokens) asks for it.
    Token(TokenReport),
    /// How a vote went; just before its end.
    Votes(VoteSummary),
    /// The end; always the last event, unless there was an error.
    Done(Summary),
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenReport {
    /// The token.
    pub token: TokenChance,
    /// The likeliest tokens in its place, likeliest first.
    pub top: Vec<TokenChance>,
    /// Whether it belongs to a thought, markers included.
    pub is_reasoning: bool,
}

/// A token and how likely it was.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenChance {
    /// Its id.
    pub id: u32,
    /// The bytes that it adds to the text.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability, by the model's own logits.
    pub logprob: f32,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// It repeated itself.
    Loop,
    /// Its time was up.
    Deadline,
}

/// Why the thinking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasoningEnd {
    /// The model closed its thought.
    Model,
    /// Its budget was used up, or the rest of all tokens is the answer's.
    Budget,
    /// Its time was up.
    Deadline,
    /// The answer was settled.
    EarlyExit,
    /// It repeated itself.
    Loop,
    /// The caller ended it.
    User,
}

impl From<ThinkingEnd> for ReasoningEnd {
    fn from(end: ThinkingEnd) -> Self {
        match end {
            ThinkingEnd::Model => Self::Model,
            ThinkingEnd::Budget => Self::Budget,
            ThinkingEnd::Deadline => Self::Deadline,
            ThinkingEnd::EarlyExit => Self::EarlyExit,
            ThinkingEnd::Loop => Self::Loop,
            ThinkingEnd::User => Self::User,
        }
    }
}

/// What an answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of these, tokens that an earlier request had computed.
    pub cached_tokens: usize,
    /// Tokens that were generated, thinking included.
    pub completion_tokens: usize,
    /// Of these, tokens of the thinking.
    pub reasoning_tokens: usize,
    /// Tokens that were computed to see whether the answer is settled; they are in no text.
    pub probe_tokens: usize,
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
    /// What the time to the first token was spent on.
    #[serde(skip)]
    pub first_token: FirstToken,
    /// What a device beside the processor worked, where the model runs on one.
    #[serde(skip)]
    pub device: Option<DeviceTimes>,
}

/// Seconds that a device worked, by its own clock, for this answer and for those in the same steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DeviceTimes {
    /// On the prompt, until the logits of the first token were there.
    pub prefill_s: f64,
    /// On each token after the first.
    pub tpot_s: f64,
}

/// The parts of the time to the first token, and the time from there to its text. Seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FirstToken {
    /// Rendering the conversation, encoding it, and preparing the answer.
    pub tokenize_s: f64,
    /// Waiting until the first step that computes any of the prompt.
    pub queue_s: f64,
    /// Computing the prompt, steps that other answers share and waits between them included.
    pub prefill_s: f64,
    /// Drawing the token from its logits.
    pub sample_s: f64,
    /// From the token to its text, told apart as thinking or answer.
    pub detokenize_s: f64,
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
    /// How sure the model was, in nats, the lowest mean of a group of tokens; 0 unless log-probabilities
    /// were asked for, as votes do.
    pub confidence: f64,
}

//! The response object.

use ponder_engine::Usage;
use serde::Serialize;
use serde_json::{Map, Value};

use super::item::{OutputItem, Status};

/// A response as it is sent. Every field of OpenAI's and of the Open Responses specification is
/// there, null where it says nothing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Response {
    pub(crate) id: String,
    object: &'static str,
    pub(crate) created_at: u64,
    pub(crate) completed_at: Option<u64>,
    pub(crate) status: Status,
    pub(crate) error: Option<Failure>,
    pub(crate) incomplete_details: Option<Incomplete>,
    pub(crate) output: Vec<OutputItem>,
    pub(crate) usage: Option<ResponseUsage>,
    /// Why the thinking ended; an extension.
    pub(crate) reasoning_ended_by: Option<&'static str>,
    /// How a vote went; an extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) votes: Option<Value>,
    /// What was asked for.
    #[serde(flatten)]
    pub(crate) asked: Asked,
}

/// What a response repeats of its request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Asked {
    pub(crate) model: String,
    pub(crate) instructions: Option<String>,
    pub(crate) previous_response_id: Option<String>,
    pub(crate) tools: Vec<Value>,
    pub(crate) tool_choice: Value,
    pub(crate) parallel_tool_calls: bool,
    pub(crate) text: Value,
    pub(crate) reasoning: Value,
    pub(crate) temperature: f64,
    pub(crate) top_p: f64,
    pub(crate) presence_penalty: f64,
    pub(crate) frequency_penalty: f64,
    pub(crate) top_logprobs: usize,
    pub(crate) max_output_tokens: Option<usize>,
    pub(crate) max_tool_calls: Option<usize>,
    pub(crate) truncation: &'static str,
    pub(crate) store: bool,
    pub(crate) background: bool,
    pub(crate) service_tier: &'static str,
    pub(crate) metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    pub(crate) safety_identifier: Option<String>,
    pub(crate) prompt_cache_key: Option<String>,
}

/// Why a response failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// Why a response ends before its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Incomplete {
    pub(crate) reason: &'static str,
}

/// What a response cost, in the names of this interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ResponseUsage {
    input_tokens: usize,
    input_tokens_details: InputDetails,
    output_tokens: usize,
    output_tokens_details: OutputDetails,
    total_tokens: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct InputDetails {
    cached_tokens: usize,
    /// Tokens that the cache has taken in: what was not there before.
    cache_write_tokens: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct OutputDetails {
    reasoning_tokens: usize,
}

impl From<Usage> for ResponseUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cached_tokens,
                cache_write_tokens: usage.prompt_tokens.saturating_sub(usage.cached_tokens),
            },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning_tokens,
            },
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
        }
    }
}

impl Response {
    /// A response of which nothing is there yet.
    pub(crate) fn new(id: String, created_at: u64, status: Status, asked: Asked) -> Self {
        Self {
            id,
            object: "response",
            created_at,
            completed_at: None,
            status,
            error: None,
            incomplete_details: None,
            output: Vec::new(),
            usage: None,
            reasoning_ended_by: None,
            votes: None,
            asked,
        }
    }
}

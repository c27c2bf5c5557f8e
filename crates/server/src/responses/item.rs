//! Items of a conversation, in the shape in which they are sent and kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far an item, or a whole response, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Queued,
    InProgress,
    Completed,
    Incomplete,
    Failed,
    Cancelled,
}

impl Status {
    /// Whether nothing follows.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// One thing that the model has made.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutputItem {
    /// A thought.
    Reasoning {
        id: String,
        status: Status,
        /// Always empty: thoughts are shown as they are.
        summary: [Value; 0],
        content: Vec<Part>,
        /// The same, packed, where that is asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        encrypted_content: Option<String>,
    },
    /// A text for the user.
    Message {
        id: String,
        status: Status,
        role: &'static str,
        content: Vec<Part>,
    },
    /// A call of a function.
    FunctionCall {
        id: String,
        status: Status,
        call_id: String,
        name: String,
        arguments: String,
    },
}

/// A part of a message or a thought.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Part {
    /// Of a thought.
    ReasoningText { text: String },
    /// Of a message.
    OutputText {
        text: String,
        annotations: [Value; 0],
        logprobs: Vec<LogProb>,
    },
}

impl Part {
    pub(crate) fn reasoning(text: impl Into<String>) -> Self {
        Self::ReasoningText { text: text.into() }
    }

    pub(crate) fn output(text: impl Into<String>, logprobs: Vec<LogProb>) -> Self {
        Self::OutputText {
            text: text.into(),
            annotations: [],
            logprobs,
        }
    }
}

impl OutputItem {
    pub(crate) fn reasoning(id: String, status: Status, content: Vec<Part>) -> Self {
        Self::Reasoning {
            id,
            status,
            summary: [],
            content,
            encrypted_content: None,
        }
    }

    pub(crate) fn message(id: String, status: Status, content: Vec<Part>) -> Self {
        Self::Message {
            id,
            status,
            role: "assistant",
            content,
        }
    }

    /// Its name within its response.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Reasoning { id, .. }
            | Self::Message { id, .. }
            | Self::FunctionCall { id, .. } => id,
        }
    }
}

/// A token of a message and how likely it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct LogProb {
    pub(crate) token: String,
    pub(crate) logprob: f32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) top_logprobs: Vec<TopLogProb>,
}

/// One that could have come in its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct TopLogProb {
    pub(crate) token: String,
    pub(crate) logprob: f32,
    pub(crate) bytes: Vec<u8>,
}

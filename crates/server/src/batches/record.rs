//! [`Record`]: what is kept of a batch beside its results.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::files::file_id;
use crate::http::Caller;

/// How far a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Validating,
    InProgress,
    Finalizing,
    Completed,
    Failed,
    Expired,
    Cancelling,
    Cancelled,
}

impl Status {
    /// Whether nothing follows.
    pub(crate) fn is_final(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Expired | Self::Cancelled
        )
    }

    /// The field that says since when it is so.
    fn time_field(self) -> &'static str {
        match self {
            Self::Validating => "created_at",
            Self::InProgress => "in_progress_at",
            Self::Finalizing => "finalizing_at",
            Self::Completed => "completed_at",
            Self::Failed => "failed_at",
            Self::Expired => "expired_at",
            Self::Cancelling => "cancelling_at",
            Self::Cancelled => "cancelled_at",
        }
    }
}

/// A line of the input that cannot be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LineError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    /// Its number, from 1; none where it is about the whole file.
    pub(crate) line: Option<usize>,
}

/// Lines by how they ended, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) total: usize,
    pub(crate) completed: usize,
    pub(crate) failed: usize,
    pub(crate) usage: Usage,
}

/// Tokens of all answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    input: u64,
    cached: u64,
    output: u64,
    reasoning: u64,
}

impl Usage {
    /// Adds what the body of an answer says, in the words of whichever endpoint.
    pub(crate) fn add(&mut self, body: &Value) {
        let usage = &body["usage"];
        let either = |one: &str, other: &str| {
            let found = usage.pointer(one).or_else(|| usage.pointer(other));
            found.and_then(Value::as_u64).unwrap_or(0)
        };
        self.input += either("/input_tokens", "/prompt_tokens");
        self.output += either("/output_tokens", "/completion_tokens");
        self.cached += either(
            "/input_tokens_details/cached_tokens",
            "/prompt_tokens_details/cached_tokens",
        );
        self.reasoning += either(
            "/output_tokens_details/reasoning_tokens",
            "/completion_tokens_details/reasoning_tokens",
        );
    }

    fn to_json(self) -> Value {
        json!({
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        })
    }
}

/// A batch, as it is written to the disk whenever its status changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) uuid: Uuid,
    pub(crate) owner: Caller,
    pub(crate) endpoint: String,
    pub(crate) input: Uuid,
    pub(crate) metadata: Option<Map<String, Value>>,
    pub(crate) status: Status,
    /// Since when it was what; seconds since 1970.
    times: Map<String, Value>,
    pub(crate) expires_at: u64,
    /// How it ends, once all results are written and only have to be moved to their place.
    pub(crate) end: Option<Status>,
    /// What the files with its results are called, once there are any.
    pub(crate) output: Uuid,
    pub(crate) errors_file: Uuid,
    pub(crate) has_output: bool,
    pub(crate) has_errors: bool,
    /// Why it failed.
    pub(crate) errors: Vec<LineError>,
    pub(crate) counts: Counts,
}

impl Record {
    pub(crate) fn new(
        owner: Caller,
        endpoint: String,
        input: Uuid,
        metadata: Option<Map<String, Value>>,
        now: u64,
        window: u64,
    ) -> Self {
        let mut record = Self {
            uuid: Uuid::now_v7(),
            owner,
            endpoint,
            input,
            metadata,
            status: Status::Validating,
            times: Map::new(),
            expires_at: now + window,
            end: None,
            output: Uuid::now_v7(),
            errors_file: Uuid::now_v7(),
            has_output: false,
            has_errors: false,
            errors: Vec::new(),
            counts: Counts::default(),
        };
        record.enter(Status::Validating, now);
        record
    }

    /// As clients name it.
    pub(crate) fn id(&self) -> String {
        format!("batch_{}", self.uuid.simple())
    }

    /// Notes a new status and its time.
    pub(crate) fn enter(&mut self, status: Status, now: u64) {
        self.status = status;
        self.times
            .insert(status.time_field().to_owned(), json!(now));
    }

    /// As it is shown.
    pub(crate) fn to_json(&self) -> Value {
        let file = |is_there: bool, uuid| is_there.then(|| file_id(uuid));
        let errors = json!({"object": "list", "data": self.errors});
        let mut shown = json!({
            "id": self.id(),
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": (!self.errors.is_empty()).then_some(errors),
            "input_file_id": file_id(self.input),
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": file(self.has_output, self.output),
            "error_file_id": file(self.has_errors, self.errors_file),
            "created_at": null, "in_progress_at": null, "finalizing_at": null,
            "completed_at": null, "failed_at": null, "expired_at": null,
            "cancelling_at": null, "cancelled_at": null,
            "expires_at": self.expires_at,
            "request_counts": {
                "total": self.counts.total,
                "completed": self.counts.completed,
                "failed": self.counts.failed,
            },
            "usage": self.counts.usage.to_json(),
            "metadata": self.metadata,
        });
        for (field, time) in &self.times {
            shown[field.as_str()] = time.clone();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_counted_in_the_words_of_every_endpoint() {
        let mut usage = Usage::default();
        usage.add(&json!({"usage": {
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        }}));
        usage.add(&json!({"usage": {
            "input_tokens": 1, "output_tokens": 2,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens_details": {"reasoning_tokens": 2},
        }}));
        usage.add(&json!({"usage": {"prompt_tokens": 7, "total_tokens": 7}}));
        usage.add(&json!({"error": {}}));
        let expected = Usage {
            input: 18,
            cached: 5,
            output: 7,
            reasoning: 5,
        };
        assert_eq!(usage, expected);
    }

    #[test]
    fn a_batch_shows_since_when_it_is_what() {
        let mut record = Record::new(Caller(1), "/v1/x".to_owned(), Uuid::nil(), None, 5, 10);
        record.enter(Status::InProgress, 7);
        let shown = record.to_json();
        assert_eq!(shown["created_at"], 5);
        assert_eq!(shown["in_progress_at"], 7);
        assert_eq!(shown["completed_at"], Value::Null);
        assert_eq!(shown["expires_at"], 15);
        assert_eq!(shown["status"], "in_progress");
        let kept: Record = serde_json::from_value(json!(record)).expect("a record");
        assert_eq!(kept, record);
    }
}

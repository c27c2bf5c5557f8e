//! The JSON that whole answers and streams have in common.

use ponder_engine::{Summary, Usage};
use serde_json::{Map, Value, json};

use super::choice::{Choice, finish_reason};
use crate::ids;

/// What every chunk of an answer begins with.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: u64,
}

impl Header {
    /// The beginning of an answer that is made now.
    pub(crate) fn new(id: String, model: &str) -> Self {
        Self {
            id,
            model: model.to_owned(),
            created: ids::now(),
        }
    }

    /// An object of this kind with these choices.
    pub(crate) fn object(&self, kind: &str, choices: Vec<Value>) -> Map<String, Value> {
        let mut object = Map::new();
        let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
        set("id", json!(self.id));
        set("object", json!(kind));
        set("created", json!(self.created));
        set("model", json!(self.model));
        set("system_fingerprint", json!(fingerprint()));
        set("choices", Value::Array(choices));
        object
    }
}

/// What decides on an answer beside model and request: this program.
fn fingerprint() -> &'static str {
    concat!("ponder-", env!("CARGO_PKG_VERSION"))
}

/// What several answers to one prompt cost together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost(Usage);

impl Cost {
    /// Adds an answer. The prompt was computed once.
    pub(crate) fn add(&mut self, usage: &Usage) {
        let sum = &mut self.0;
        sum.prompt_tokens = sum.prompt_tokens.max(usage.prompt_tokens);
        sum.cached_tokens = sum.cached_tokens.max(usage.cached_tokens);
        sum.completion_tokens += usage.completion_tokens;
        sum.reasoning_tokens += usage.reasoning_tokens;
        sum.probe_tokens += usage.probe_tokens;
    }

    /// The same for answers to different prompts.
    pub(crate) fn add_prompt(&mut self, other: Self) {
        let (sum, other) = (&mut self.0, other.0);
        sum.prompt_tokens += other.prompt_tokens;
        sum.cached_tokens += other.cached_tokens;
        sum.completion_tokens += other.completion_tokens;
        sum.reasoning_tokens += other.reasoning_tokens;
        sum.probe_tokens += other.probe_tokens;
    }

    /// `usage`.
    pub(crate) fn json(&self) -> Value {
        let usage = &self.0;
        json!({
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": usage.reasoning_tokens,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }
}

/// How an answer ended, beside its `finish_reason`: fields of this server's own.
pub(crate) fn end_fields(choice: &Choice, to: &mut Value) {
    let Some(summary) = &choice.summary else {
        return;
    };
    to["finish_reason"] = json!(finish_reason(summary.finish_reason));
    to["ended_by"] = json!(summary.finish_reason);
    to["reasoning_ended_by"] = json!(summary.reasoning_ended_by);
    if let Some(votes) = &choice.votes {
        to["votes"] = json!(votes);
    }
}

/// `timings`, in the words of llama.cpp's server, with ours: seconds to the first token, and to the
/// first that is not thinking.
pub(crate) fn timings(summary: &Summary) -> Value {
    let (usage, times) = (&summary.usage, &summary.timings);
    let computed = usage.prompt_tokens.saturating_sub(usage.cached_tokens);
    let per_second = |rate: f64| (rate > 0.0).then_some(rate);
    let token_ms = per_second(times.decode_tps).map(|rate| 1e3 / rate);
    let after_first = usage.completion_tokens.saturating_sub(1) as f64;
    json!({
        "prompt_n": computed,
        "cache_n": usage.cached_tokens,
        "prompt_ms": times.first_token.prefill_s * 1e3,
        "prompt_per_second": per_second(times.prefill_tps),
        "predicted_n": usage.completion_tokens,
        "predicted_ms": token_ms.map(|ms| ms * after_first),
        "predicted_per_token_ms": token_ms,
        "predicted_per_second": per_second(times.decode_tps),
        "queue_ms": times.first_token.queue_s * 1e3,
        "ttft_s": times.ttft_s,
        "ttfo_s": times.ttfo_s,
    })
}

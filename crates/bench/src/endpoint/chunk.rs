//! One chunk of a streamed chat completion, by whichever server.

use serde_json::Value;

use crate::target::ServerTimes;

/// What a chunk says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chunk {
    /// Whether it holds text of a thought.
    pub(super) has_reasoning: bool,
    /// Whether it holds text of the answer, or of a call.
    pub(super) has_output: bool,
    pub(super) is_end: bool,
    pub(super) usage: Option<Usage>,
    pub(super) times: Option<ServerTimes>,
    pub(super) error: Option<String>,
}

/// What a server counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) prompt_tokens: usize,
    /// Where it says so.
    pub(super) cached_tokens: Option<usize>,
    pub(super) completion_tokens: usize,
    pub(super) reasoning_tokens: usize,
}

impl Chunk {
    /// Reads a chunk.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(super) fn parse(data: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(data)
            .map_err(|error| format!("a chunk is no JSON ({error}): {data:.80}"))?;
        let choice = &value["choices"][0];
        let delta = &choice["delta"];
        let has_text = |field: &str| delta[field].as_str().is_some_and(|text| !text.is_empty());
        let calls = delta["tool_calls"].as_array();
        Ok(Self {
            has_reasoning: has_text("reasoning_content") || has_text("reasoning"),
            has_output: has_text("content") || calls.is_some_and(|calls| !calls.is_empty()),
            is_end: choice["finish_reason"].is_string(),
            usage: Usage::of(&value["usage"]),
            times: times(&value["timings"]),
            error: error(&value["error"]),
        })
    }
}

impl Usage {
    pub(super) fn of(value: &Value) -> Option<Self> {
        let details = &value["prompt_tokens_details"];
        let reasoning = &value["completion_tokens_details"]["reasoning_tokens"];
        Some(Self {
            prompt_tokens: count(&value["prompt_tokens"])?,
            cached_tokens: count(&details["cached_tokens"]),
            completion_tokens: count(&value["completion_tokens"]).unwrap_or(0),
            reasoning_tokens: count(reasoning).unwrap_or(0),
        })
    }
}

/// A number of tokens; none is as large as what is cut off.
fn count(value: &Value) -> Option<usize> {
    value.as_u64().map(|n| n.min(u32::MAX.into()) as usize)
}

/// The account that llama.cpp's server gives of its time.
fn times(value: &Value) -> Option<ServerTimes> {
    Some(ServerTimes {
        prefill_ms: value["prompt_ms"].as_f64()?,
        tpot_ms: value["predicted_per_token_ms"].as_f64()?,
        cached_tokens: count(&value["cache_n"]),
    })
}

/// The message of an error, in whatever form.
pub(super) fn error(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(match value["message"].as_str() {
            Some(text) => text.to_owned(),
            None => value.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_what_is_none() {
        let of = |delta: &str| {
            let data = format!("{{\"choices\":[{{\"delta\":{delta}}}]}}");
            let chunk = Chunk::parse(&data).expect("JSON");
            (chunk.has_reasoning, chunk.has_output)
        };
        assert_eq!(of("{\"role\":\"assistant\"}"), (false, false));
        assert_eq!(
            of("{\"role\":\"assistant\",\"content\":null}"),
            (false, false)
        );
        assert_eq!(of("{\"content\":\"\"}"), (false, false));
        assert_eq!(of("{\"content\":\"a\"}"), (false, true));
        assert_eq!(of("{\"reasoning_content\":\"a\"}"), (true, false));
        assert_eq!(of("{\"reasoning\":\"a\",\"content\":\"\"}"), (true, false));
        assert_eq!(of("{\"tool_calls\":[{\"index\":0}]}"), (false, true));
        assert!(Chunk::parse("{").is_err());
    }

    #[test]
    fn ends_counts_and_errors_are_read() {
        let end = Chunk::parse(
            "{\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"timings\":\
             {\"prompt_ms\":5.5,\"predicted_per_token_ms\":2.0}}",
        );
        let end = end.expect("JSON");
        assert!(end.is_end && !end.has_output);
        let times = end.times.expect("times");
        assert_eq!((times.prefill_ms, times.tpot_ms), (5.5, 2.0));
        let usage = Chunk::parse(
            "{\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,\
             \"prompt_tokens_details\":{\"cached_tokens\":2}}}",
        );
        let expected = Usage {
            prompt_tokens: 7,
            cached_tokens: Some(2),
            completion_tokens: 3,
            reasoning_tokens: 0,
        };
        assert_eq!(usage.expect("JSON").usage, Some(expected));
        let large = Chunk::parse("{\"usage\":{\"prompt_tokens\":18446744073709551615}}");
        let large = large.expect("JSON").usage.expect("usage");
        assert_eq!(large.prompt_tokens, u32::MAX as usize);
        assert_eq!(large.cached_tokens, None, "nobody said so");
        let error = Chunk::parse("{\"error\":{\"message\":\"no memory\"}}").expect("JSON");
        assert_eq!(error.error.as_deref(), Some("no memory"));
    }
}

//! The JSON of an answer. Its names are an outward contract.

use std::io::{self, Write};

use ponder_engine::{FinishReason, ReasoningEnd, Timings, ToolCall, Usage, VoteSummary};
use serde::Serialize;

use super::events::Answer;

/// What `run --json` prints, in this order.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerJson<'a> {
    /// The text of the reasoning, empty where there was none.
    reasoning: &'a str,
    content: &'a str,
    tool_calls: &'a [ToolCall],
    finish_reason: FinishReason,
    /// `null` where the model did not reason.
    reasoning_ended_by: Option<ReasoningEnd>,
    usage: &'a Usage,
    timings: &'a Timings,
    /// Only where answers voted.
    #[serde(skip_serializing_if = "Option::is_none")]
    votes: Option<&'a VoteSummary>,
}

impl<'a> AnswerJson<'a> {
    /// The JSON of a complete answer.
    pub(crate) fn new(answer: &'a Answer) -> Self {
        Self {
            reasoning: &answer.reasoning,
            content: &answer.content,
            tool_calls: &answer.tool_calls,
            finish_reason: answer.summary.finish_reason,
            reasoning_ended_by: answer.summary.reasoning_ended_by,
            usage: &answer.summary.usage,
            timings: &answer.summary.timings,
            votes: answer.votes.as_ref(),
        }
    }
}

/// Writes one JSON value and a newline.
pub(crate) fn print_json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::events::stopped_summary;

    #[test]
    fn names_and_order_are_the_contract() {
        let mut summary = stopped_summary();
        summary.usage.prompt_tokens = 5;
        let answer = Answer {
            reasoning: String::new(),
            content: "Paris".to_owned(),
            tool_calls: Vec::new(),
            votes: None,
            summary,
        };
        let mut line = Vec::new();
        print_json(&mut line, &AnswerJson::new(&answer)).expect("a Vec takes all");
        let expected = concat!(
            r#"{"reasoning":"","content":"Paris","tool_calls":[],"finish_reason":"stop","#,
            r#""reasoning_ended_by":null,"usage":{"prompt_tokens":5,"cached_tokens":0,"#,
            r#""completion_tokens":0,"reasoning_tokens":0,"probe_tokens":0},"timings":{"load_s":0.0,"#,
            r#""ttft_s":0.0,"ttfo_s":null,"prefill_tps":0.0,"decode_tps":0.0}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8_lossy(&line), expected);
    }
}

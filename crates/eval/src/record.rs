//! One finished answer, as the log keeps it.

use ponder_engine::{FinishReason, ReasoningEnd, Usage};
use serde::{Deserialize, Serialize};

use crate::check::Verdict;

/// The place of an answer: its row, question and sample, all counted from 0.
pub(crate) type Place = (usize, usize, usize);

/// An answer and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) row: usize,
    pub(crate) question: usize,
    pub(crate) sample: usize,
    pub(crate) verdict: Verdict,
    /// What it says in the end.
    pub(crate) value: Option<String>,
    pub(crate) finish_reason: FinishReason,
    pub(crate) reasoning_ended_by: Option<ReasoningEnd>,
    /// Of a vote, that of all its answers.
    pub(crate) usage: Usage,
    /// From the request to its end.
    pub(crate) seconds: f64,
    /// Its text, for people who look into the log.
    pub(crate) content: String,
}

impl Record {
    pub(crate) fn place(&self) -> Place {
        (self.row, self.question, self.sample)
    }

    pub(crate) fn is_right(&self) -> bool {
        self.verdict == Verdict::Right
    }
}

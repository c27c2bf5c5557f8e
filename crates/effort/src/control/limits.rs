//! What an answer may take.

use std::time::Duration;

/// Limits of one answer. The default has none but the guard against loops.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Tokens of thinking and answer together.
    pub max_tokens: usize,
    /// Of these, tokens that thinking leaves for the answer.
    pub answer_tokens: usize,
    /// Tokens of all thoughts of the turn, their markers included; `None`: as `max_tokens` allows.
    pub think_tokens: Option<usize>,
    /// Of these, tokens that earlier rounds of the same turn have used.
    pub used_tokens: usize,
    /// Tokens of thinking before the model may close its thought.
    pub think_min: usize,
    /// Time of all thoughts.
    pub think_time: Option<Duration>,
    /// When the answer is to be complete, since the request.
    pub deadline: Option<Duration>,
    /// Share of the deadline that is left for the answer at most, `[0, 1]`; at the pace so far its
    /// tokens may take less.
    pub answer_share: f32,
    /// Share of the budget from which on closing is favoured; 1: nowhere.
    pub landing: f32,
    /// Whether repetition ends thoughts and answers.
    pub loop_guard: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tokens: usize::MAX,
            answer_tokens: 0,
            think_tokens: None,
            used_tokens: 0,
            think_min: 0,
            think_time: None,
            deadline: None,
            answer_share: 0.25,
            landing: 1.0,
            loop_guard: true,
        }
    }
}

impl Limits {
    /// Tokens of thought that are left for this answer.
    pub fn budget(&self) -> usize {
        let budget = self.think_tokens.unwrap_or(usize::MAX);
        budget.saturating_sub(self.used_tokens)
    }

    /// Tokens that come before the answer's own, at most.
    pub(super) fn before_answer(&self) -> usize {
        self.max_tokens.saturating_sub(self.answer_tokens.max(1))
    }
}

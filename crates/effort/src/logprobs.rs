//! Log-probabilities as the model gave them.
//!
//! They are the log-softmax (natural logarithm) of the raw logits, before mask, penalties, bias
//! and temperature: a statement about the model, the same at every setting. vLLM calls this
//! `raw_logprobs`, its default; OpenAI's do not change with temperature either.

use crate::filter::{Candidate, top_k};
use crate::math;

/// A token and the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenLogprob {
    /// The token's id.
    pub token: u32,
    /// `<= 0`.
    pub logprob: f32,
}

/// Remembers a row of raw logits while the chain changes it.
#[derive(Debug, Clone)]
pub(crate) struct Logprobs {
    n: usize,
    raw: Vec<f32>,
    candidates: Vec<Candidate>,
    top: Vec<TokenLogprob>,
    /// `ln Σ e^logit`.
    log_sum: f64,
}

impl Logprobs {
    pub(crate) fn new(n: usize, vocab_size: usize) -> Self {
        Self {
            n,
            raw: Vec::with_capacity(vocab_size),
            candidates: Vec::with_capacity(2 * n),
            top: Vec::with_capacity(n),
            log_sum: 0.0,
        }
    }

    /// Reads a row of raw, finite logits.
    pub(crate) fn observe(&mut self, logits: &[f32]) {
        self.raw.clear();
        self.raw.extend_from_slice(logits);
        let max = math::max(logits);
        self.log_sum = f64::from(max) + math::sum_exp(logits, max, 1.0).ln();
        top_k(logits, self.n, &mut self.candidates);
        self.top.clear();
        for candidate in &self.candidates {
            let logprob = (f64::from(candidate.logit) - self.log_sum) as f32;
            self.top.push(TokenLogprob {
                token: candidate.id,
                logprob,
            });
        }
    }

    pub(crate) fn of(&self, token: u32) -> f32 {
        (f64::from(self.raw[token as usize]) - self.log_sum) as f32
    }

    /// The likeliest tokens, likeliest first.
    pub(crate) fn top(&self) -> &[TokenLogprob] {
        &self.top
    }
}

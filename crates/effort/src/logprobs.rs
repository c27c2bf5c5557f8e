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

/// What was found in a row of raw logits that lies elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chances<'a> {
    /// The logit of the token that was drawn.
    pub logit: f32,
    /// The largest one.
    pub max: f32,
    /// `Σ e^(logit − max)`: in `f32` by sixteen totals in turn for each 1024 tokens, whose sums, the
    /// first total first, are added in `f64`.
    pub mass: f64,
    /// The likeliest tokens with their logits, likeliest first, the lowest of equal ones.
    pub likeliest: &'a [(u32, f32)],
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
            let token = candidate.id;
            self.top.push(TokenLogprob { token, logprob });
        }
    }

    /// Reads what was found in such a row elsewhere. Returns the log-probability of the token.
    pub(crate) fn learn(&mut self, chances: &Chances<'_>) -> f32 {
        self.log_sum = f64::from(chances.max) + chances.mass.ln();
        self.top.clear();
        for &(token, logit) in chances.likeliest.iter().take(self.n) {
            let logprob = self.of_logit(logit);
            self.top.push(TokenLogprob { token, logprob });
        }
        self.of_logit(chances.logit)
    }

    /// How many likeliest tokens are wanted.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    pub(crate) fn of(&self, token: u32) -> f32 {
        self.of_logit(self.raw[token as usize])
    }

    fn of_logit(&self, logit: f32) -> f32 {
        (f64::from(logit) - self.log_sum) as f32
    }

    /// The likeliest tokens, likeliest first.
    pub(crate) fn top(&self) -> &[TokenLogprob] {
        &self.top
    }
}

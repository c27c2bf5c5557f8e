//! Temperature, top-k, top-p, min-p and the draw.
//!
//! All three filters keep a prefix of the tokens in order (logit falling, id rising), and
//! temperature does not change that order. So the likeliest tokens are selected, never all of
//! them sorted, and the shortest of the three prefixes is kept.

use std::cmp::Ordering;

use crate::SamplingParams;
use crate::math::{self, BLOCK, exp};

/// How many candidates top-p and min-p look at first when top-k does not limit them.
const FIRST_GUESS: usize = 256;

/// A token in the running.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) id: u32,
    pub(crate) logit: f32,
}

/// The filters of one sequence with their scratch space.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    temperature: f32,
    /// `1 / temperature`, finite.
    scale: f32,
    top_k: usize,
    top_p: f64,
    min_p: f32,
    candidates: Vec<Candidate>,
    /// Unnormalized probabilities of the candidates, or of all tokens when nothing is filtered.
    weights: Vec<f32>,
}

impl Filter {
    pub(crate) fn new(params: &SamplingParams, vocab_size: usize) -> Self {
        let mut filter = Self {
            temperature: params.temperature,
            scale: (1.0 / params.temperature).min(1e30),
            top_k: params.top_k,
            top_p: f64::from(params.top_p),
            min_p: params.min_p,
            candidates: Vec::new(),
            weights: Vec::new(),
        };
        if filter.temperature > 0.0 {
            if filter.filters_nothing() {
                filter.weights.reserve_exact(vocab_size);
            } else {
                let k = if filter.top_k == 0 {
                    vocab_size
                } else {
                    filter.top_k.min(vocab_size)
                };
                filter
                    .candidates
                    .reserve_exact(k.saturating_mul(2).min(vocab_size));
                filter.weights.reserve_exact(k);
            }
        }
        filter
    }

    /// `1 / temperature`, infinite where the largest logit wins, top-k, top-p, min-p.
    pub(crate) fn settings(&self) -> (f32, usize, f32, f32) {
        let sharpness = match self.temperature {
            0.0 => f32::INFINITY,
            _ => self.scale,
        };
        // It was one of 32 bits.
        (sharpness, self.top_k, self.top_p as f32, self.min_p)
    }

    /// Picks a token by `u` in `[0, 1)`: the inverse of the distribution function, tokens in the
    /// order of this module, or by id when nothing is filtered. At least one logit is finite, none
    /// is NaN or `+inf`; `-inf` is never picked.
    pub(crate) fn draw(&mut self, logits: &[f32], u: f64) -> u32 {
        if self.temperature == 0.0 {
            return argmax(logits);
        }
        if self.filters_nothing() {
            return self.draw_unfiltered(logits, u);
        }
        let kept = self.select(logits);
        let weights = &self.weights[..kept];
        self.candidates[pick(weights, u * sum(weights))].id
    }

    fn filters_nothing(&self) -> bool {
        self.top_k == 0 && self.top_p >= 1.0 && self.min_p == 0.0
    }

    /// Fills candidates and weights and returns how many of them are kept, at least one.
    fn select(&mut self, logits: &[f32]) -> usize {
        if self.top_k > 0 {
            top_k(logits, self.top_k, &mut self.candidates);
            self.weigh();
            let mass = sum(&self.weights);
            return self.prefix(mass).unwrap_or(self.weights.len());
        }
        let mass = match self.top_p {
            p if p < 1.0 => math::sum_exp(logits, math::max(logits), self.scale),
            _ => f64::INFINITY,
        };
        let mut k = FIRST_GUESS;
        loop {
            top_k(logits, k, &mut self.candidates);
            self.weigh();
            if let Some(kept) = self.prefix(mass) {
                return kept;
            }
            if k >= logits.len() {
                return self.weights.len();
            }
            k *= 8;
        }
    }

    fn weigh(&mut self) {
        let max = self.candidates[0].logit;
        let scale = self.scale;
        self.weights.clear();
        self.weights
            .extend(self.candidates.iter().map(|c| exp((c.logit - max) * scale)));
    }

    /// Where top-p (of the probability mass `mass`) or min-p ends the candidates, if it does.
    fn prefix(&self, mass: f64) -> Option<usize> {
        let mut cumulative = 0.0;
        for (at, &weight) in self.weights.iter().enumerate() {
            // The likeliest token weighs 1, so a weight is its ratio to it.
            if weight < self.min_p {
                return Some(at);
            }
            cumulative += f64::from(weight);
            if self.top_p < 1.0 && cumulative >= self.top_p * mass {
                return Some(at + 1);
            }
        }
        None
    }

    /// The whole distribution: weights by id, block totals first, then within one block.
    fn draw_unfiltered(&mut self, logits: &[f32], u: f64) -> u32 {
        let max = math::max(logits);
        let scale = self.scale;
        self.weights.clear();
        self.weights
            .extend(logits.iter().map(|logit| exp((logit - max) * scale)));
        let blocks = || self.weights.chunks(BLOCK).map(sum);
        let mut target = u * blocks().sum::<f64>();
        let mut last = 0;
        for (at, total) in blocks().enumerate().filter(|&(_, total)| total > 0.0) {
            last = at;
            if target < total {
                break;
            }
            target -= total;
        }
        let start = last * BLOCK;
        let end = (start + BLOCK).min(logits.len());
        (start + pick(&self.weights[start..end], target)) as u32
    }
}

/// The largest logit, the lowest id of equal ones.
fn argmax(logits: &[f32]) -> u32 {
    let max = math::max(logits);
    logits.iter().position(|&logit| logit == max).unwrap_or(0) as u32
}

fn sum(weights: &[f32]) -> f64 {
    // Four totals, so that the additions need not wait for each other.
    let mut lanes = [0.0f64; 4];
    let (chunks, rest) = weights.as_chunks::<4>();
    for chunk in chunks {
        for (lane, &weight) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(weight);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&weight| f64::from(weight)).sum::<f64>()
}

/// The first index at which the running sum exceeds `target`; if rounding lets none, the last one
/// with any weight.
fn pick(weights: &[f32], mut target: f64) -> usize {
    let mut last = 0;
    for (at, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            last = at;
            target -= f64::from(weight);
            if target < 0.0 {
                break;
            }
        }
    }
    last
}

/// The `k` largest finite logits in order (logit falling, id rising).
///
/// One pass: what exceeds the k-th best so far is collected; at twice `k` the better half stays
/// and raises the bar. Few elements of a row ever pass it.
pub(crate) fn top_k(logits: &[f32], k: usize, out: &mut Vec<Candidate>) {
    const CHUNK: usize = 32;
    out.clear();
    if k == 0 {
        return;
    }
    let full = k.saturating_mul(2);
    let mut bar = f32::NEG_INFINITY;
    for (chunk_idx, chunk) in logits.chunks(CHUNK).enumerate() {
        // Without an early exit, so that it vectorizes.
        if !chunk.iter().fold(false, |any, &logit| any | (logit > bar)) {
            continue;
        }
        for (at, &logit) in chunk.iter().enumerate() {
            if logit > bar {
                out.push(Candidate {
                    id: (chunk_idx * CHUNK + at) as u32,
                    logit,
                });
                if out.len() == full {
                    out.select_nth_unstable_by(k - 1, order);
                    out.truncate(k);
                    bar = out[k - 1].logit;
                }
            }
        }
    }
    if out.len() > k {
        out.select_nth_unstable_by(k - 1, order);
        out.truncate(k);
    }
    out.sort_unstable_by(order);
}

fn order(a: &Candidate, b: &Candidate) -> Ordering {
    // Not `total_cmp`: 0.0 and -0.0 are equal logits.
    b.logit
        .partial_cmp(&a.logit)
        .unwrap_or(Ordering::Equal)
        .then(a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn top_k_equals_sorting(
            // Few distinct values, so that ties abound.
            values in prop::collection::vec(prop_oneof![Just(-9), -8i8..8], 1..300),
            k in 0usize..310,
        ) {
            let logits: Vec<f32> = values
                .iter()
                .map(|&v| if v == -9 { f32::NEG_INFINITY } else { f32::from(v) })
                .collect();
            let mut want: Vec<Candidate> = (0..).zip(&logits)
                .filter(|(_, logit)| logit.is_finite())
                .map(|(id, &logit)| Candidate { id, logit })
                .collect();
            want.sort_by(order);
            want.truncate(k);
            let mut got = Vec::new();
            top_k(&logits, k, &mut got);
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn pick_skips_weightless_tokens() {
        assert_eq!(pick(&[0.0, 1.0, 0.0, 1.0, 0.0], 0.0), 1);
        assert_eq!(pick(&[0.0, 1.0, 0.0, 1.0, 0.0], 1.0), 3);
        assert_eq!(pick(&[0.0, 1.0, 0.0, 1.0, 0.0], 2.0), 3);
    }
}

//! Repetition, presence and frequency penalties.
//!
//! - repetition (transformers): every token of prompt and answer, once; a positive logit is
//!   divided by the penalty, any other multiplied.
//! - presence and frequency (OpenAI): `logit −= frequency · c + presence · [c > 0]`, where `c` is
//!   how often the token was generated; the prompt does not count.
//!
//! Repetition comes first, as in vLLM and llama.cpp.

use crate::SamplingParams;

/// Counts of the tokens seen, kept for the touched ids only.
#[derive(Debug, Clone)]
pub(crate) struct Penalties {
    repetition: f32,
    presence: f32,
    frequency: f32,
    /// Ids, sorted, so that logits are visited in memory order, and how often each was generated: 0
    /// times for a token of the prompt alone.
    seen: Vec<(u32, u32)>,
}

impl Penalties {
    pub(crate) fn new(params: &SamplingParams, prompt: &[u32]) -> Self {
        let mut penalties = Self {
            repetition: params.repetition_penalty,
            presence: params.presence_penalty,
            frequency: params.frequency_penalty,
            seen: Vec::new(),
        };
        if penalties.repetition != 1.0 {
            penalties.seen = prompt.iter().map(|&id| (id, 0)).collect();
            penalties.seen.sort_unstable();
            penalties.seen.dedup();
        }
        penalties
    }

    fn is_off(&self) -> bool {
        self.repetition == 1.0 && self.presence == 0.0 && self.frequency == 0.0
    }

    pub(crate) fn accept(&mut self, id: u32) {
        if self.is_off() {
            return;
        }
        match self.seen.binary_search_by_key(&id, |&(id, _)| id) {
            Ok(at) => self.seen[at].1 = self.seen[at].1.saturating_add(1),
            Err(at) => self.seen.insert(at, (id, 1)),
        }
    }

    /// Repetition, presence and frequency.
    pub(crate) fn amounts(&self) -> [f32; 3] {
        [self.repetition, self.presence, self.frequency]
    }

    /// Ids, each once, with how often each was generated; none where there is no penalty.
    pub(crate) fn seen(&self) -> &[(u32, u32)] {
        if self.is_off() { &[] } else { &self.seen }
    }

    pub(crate) fn apply(&self, logits: &mut [f32]) {
        if self.is_off() {
            return;
        }
        for &(id, generated) in &self.seen {
            let logit = &mut logits[id as usize];
            if *logit == f32::NEG_INFINITY {
                continue;
            }
            let scaled = if *logit > 0.0 {
                *logit / self.repetition
            } else {
                *logit * self.repetition
            };
            let count = generated as f32;
            let present = if generated > 0 { self.presence } else { 0.0 };
            // Near the ends of f32 the result must not turn infinite: that would read as masked.
            *logit = (scaled - self.frequency * count - present).clamp(f32::MIN, f32::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_counts_the_prompt_and_each_token_once() {
        let params = SamplingParams {
            repetition_penalty: 2.0,
            ..Default::default()
        };
        let mut penalties = Penalties::new(&params, &[1, 1, 3]);
        penalties.accept(0);
        penalties.accept(0);
        let mut logits = [4.0, -1.0, 5.0, f32::NEG_INFINITY];
        penalties.apply(&mut logits);
        assert_eq!(logits, [2.0, -2.0, 5.0, f32::NEG_INFINITY]);
    }

    #[test]
    fn presence_and_frequency_count_the_answer_only() {
        let params = SamplingParams {
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            ..Default::default()
        };
        let mut penalties = Penalties::new(&params, &[1, 1]);
        for id in [0, 2, 2, 2] {
            penalties.accept(id);
        }
        let mut logits = [1.0; 4];
        penalties.apply(&mut logits);
        assert_eq!(logits, [0.25, 1.0, -0.25, 1.0]);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let params = SamplingParams {
            repetition_penalty: 1e-30,
            ..Default::default()
        };
        let mut logits = [f32::MAX, f32::MIN];
        Penalties::new(&params, &[0, 1]).apply(&mut logits);
        assert!(logits.iter().all(|logit| logit.is_finite()));
    }
}

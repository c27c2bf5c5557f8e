//! The chain for logits that lie elsewhere: what it would do with them, all of it as numbers.
//!
//! The order and the rounding of each operation are part of what is promised: who carries a [`Draw`] out
//! as [`Sampler::sample_masked`] does gets the same token.

use super::{BAN, Decision, Drawn, Sampler, allows_any};
use crate::{Chances, EffortError, logprobs::Logprobs};

/// How the next token comes to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plan<'a> {
    /// It is this one, whatever the logits are.
    Known(u32),
    /// It is to be drawn so.
    Draw(Draw<'a>),
    /// By [`Sampler::sample_masked`]: it is known, but how likely it is is wanted too.
    Logits,
}

/// What is done with a row of logits, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw<'a> {
    /// Tokens that may come, a bitset that allows one at least; others get `-inf`, which stays.
    pub mask: Option<&'a [u32]>,
    /// Divides positive and multiplies other logits of the tokens in `seen`. Then the frequency
    /// penalty times the count is subtracted, and the presence penalty where the count is not 0.
    pub repetition: f32,
    /// Presence penalty.
    pub presence: f32,
    /// Frequency penalty.
    pub frequency: f32,
    /// Tokens, sorted, each once, with how often the answer has them.
    pub seen: &'a [(u32, u32)],
    /// Tokens, sorted, and what is added to their logits, which stay finite; one after the other where
    /// a token has several.
    pub added: &'a [(u32, f32)],
    /// A token whose logit moves towards the largest one by a share of the way.
    pub raised: Option<(u32, f32)>,
    /// What differences to the largest logit are multiplied with; infinite: the largest logit wins, the
    /// lowest id of equal ones.
    pub sharpness: f32,
    /// Likeliest tokens that are kept; 0: all.
    pub top_k: usize,
    /// As [`SamplingParams::top_p`](crate::SamplingParams::top_p).
    pub top_p: f32,
    /// As [`SamplingParams::min_p`](crate::SamplingParams::min_p).
    pub min_p: f32,
    /// The random number, in `[0, 1)`: where in the distribution the token stands.
    pub number: f64,
    /// So many of the likeliest tokens are wanted too, by the logits as they were, with the other
    /// [`Chances`]; `None`: nothing of the kind.
    pub likeliest: Option<usize>,
}

/// Memory of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Planned {
    added: Vec<(u32, f32)>,
    mask: Vec<u32>,
    /// Tokens instead of which another is taken.
    these: Vec<u32>,
    other: u32,
}

impl Sampler {
    /// Says how the next token comes to be, without its logits. Nothing has changed behind it but that
    /// [`Sampler::take`] may be called; [`Sampler::sample_masked`] may as well.
    ///
    /// # Errors
    /// As [`Sampler::sample_masked`], but for logits.
    pub fn plan<'a>(
        &'a mut self,
        mask: Option<&'a [u32]>,
        decision: Decision<'_>,
    ) -> Result<Plan<'a>, EffortError> {
        self.check(mask, decision)?;
        self.planned.these.clear();
        let likeliest = self.logprobs.as_ref().map(Logprobs::n);
        let mut raised = None;
        let mut only = None;
        self.planned.added.clear();
        self.add_penalties();
        let added = &mut self.planned.added;
        match decision {
            Decision::Force(_) if likeliest.is_some() => return Ok(Plan::Logits),
            Decision::Force(token) => return Ok(Plan::Known(token)),
            Decision::Free => {}
            Decision::Bias { token, amount } => added.push((token, amount)),
            Decision::Steer(steer) => {
                added.extend(steer.banned().map(|token| (token, BAN)));
                (raised, only) = (steer.raise, steer.only);
                if let Some((these, other)) = steer.instead {
                    self.planned.these.extend_from_slice(these);
                    self.planned.other = other;
                }
            }
        }
        // Additions to one token keep their order.
        added.sort_by_key(|&(token, _)| token);
        let number = self.stream.peek();
        let mask = both(mask, only, self.vocab_size, &mut self.planned.mask);
        let [repetition, presence, frequency] = self.penalties.amounts();
        let (sharpness, top_k, top_p, min_p) = self.filter.settings();
        Ok(Plan::Draw(Draw {
            mask,
            repetition,
            presence,
            frequency,
            seen: self.penalties.seen(),
            added: &self.planned.added,
            raised,
            sharpness,
            top_k,
            top_p,
            min_p,
            number,
            likeliest,
        }))
    }

    /// Takes the token that was planned, and remembers what it becomes. `None`, and nothing has changed,
    /// where its probability is wanted and not known: it takes [`Sampler::sample_masked`]. That is so
    /// where the token becomes another one.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    pub fn take(
        &mut self,
        token: u32,
        chances: Option<&Chances<'_>>,
    ) -> Result<Option<Drawn<'_>>, EffortError> {
        let is_instead = self.planned.these.contains(&token);
        let token = match is_instead {
            true => self.planned.other,
            false => token,
        };
        let logprob = match (&mut self.logprobs, chances) {
            (None, _) => None,
            (Some(logprobs), Some(chances)) if !is_instead => Some(logprobs.learn(chances)),
            (Some(_), _) => return Ok(None),
        };
        self.accept(token)?;
        let logprobs = self.logprobs.as_ref();
        Ok(Some(Drawn {
            token,
            is_instead,
            logprob,
            top_logprobs: logprobs.map_or(&[], Logprobs::top),
        }))
    }

    fn add_penalties(&mut self) {
        let added = &mut self.planned.added;
        if let Some(dry) = &mut self.dry {
            dry.penalties(|token, penalty| added.push((token, -penalty)));
        }
        added.extend_from_slice(&self.logit_bias);
    }
}

/// What the grammar allows, and of that what is wanted, where that is anything. `room` is memory for it.
fn both<'a>(
    mask: Option<&'a [u32]>,
    only: Option<&[u32]>,
    vocab_size: usize,
    room: &'a mut Vec<u32>,
) -> Option<&'a [u32]> {
    let Some(only) = only else {
        return mask;
    };
    room.clear();
    match mask {
        None => room.extend_from_slice(only),
        Some(mask) => room.extend(mask.iter().zip(only).map(|(mask, only)| mask & only)),
    }
    match allows_any(room, vocab_size) {
        true => Some(room),
        false => mask,
    }
}

#[cfg(test)]
mod tests;

//! The chain: grammar mask → penalties → effort decision → temperature, top-k, top-p, min-p →
//! draw.
//!
//! "Penalties" are, in this order: repetition, presence and frequency, DRY, logit bias. The bias
//! comes last, so that −100 and 100 mean what the user expects whatever was penalized.
//!
//! Where logits are not here, [`Sampler::plan`] says what is to be done with them, and
//! [`Sampler::take`] takes what was drawn.

mod plan;
pub use plan::{Draw, Plan};

use crate::dry::Dry;
use crate::filter::Filter;
use crate::logprobs::Logprobs;
use crate::math;
use crate::penalties::Penalties;
use crate::stream::Stream;
use crate::{EffortError, SamplingParams, TokenLogprob};
use plan::Planned;

/// What the reasoning controller wants of the next token.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Decision<'a> {
    /// Nothing.
    #[default]
    Free,
    /// Favours (or, below zero, disfavours) a token. A token that the grammar masks stays masked.
    Bias {
        /// The token.
        token: u32,
        /// Added to its logit; finite.
        amount: f32,
    },
    /// Several wishes at once.
    Steer(Steer<'a>),
    /// The next token, whatever mask, penalties and probabilities say.
    Force(u32),
}

/// Far below every other logit, and still finite: where nothing else is left, such tokens come.
const BAN: f32 = f32::MIN / 2.0;

/// Wishes that leave the choice to the model.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Steer<'a> {
    /// Tokens that do not come where any other may.
    pub ban: [&'a [u32]; 2],
    /// Only these tokens, a bitset like a grammar mask; ignored where the mask allows none of them.
    pub only: Option<&'a [u32]>,
    /// A token whose logit moves towards the largest one, by this share of the way, `[0, 1]`.
    pub raise: Option<(u32, f32)>,
    /// Where one of the first is drawn, the second is taken instead.
    pub instead: Option<(&'a [u32], u32)>,
}

/// One sampled token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn<'a> {
    /// The token's id.
    pub token: u32,
    /// Whether it was taken instead of one that was drawn, as [`Steer::instead`] wants.
    pub is_instead: bool,
    /// Its log-probability by the raw logits, when `logprobs` was asked for.
    pub logprob: Option<f32>,
    /// The likeliest tokens by the raw logits, likeliest first; as many as were asked for.
    pub top_logprobs: &'a [TokenLogprob],
}

impl Decision<'_> {
    /// What is to be taken instead of a token that was drawn.
    fn instead_of(self, drawn: u32) -> Option<u32> {
        match self {
            Self::Steer(Steer {
                instead: Some((these, other)),
                ..
            }) => these.contains(&drawn).then_some(other),
            _ => None,
        }
    }

    fn check(self, vocab_size: usize) -> Result<(), EffortError> {
        let known = |token| known(token, vocab_size, "the effort decision");
        let finite = |token, amount: f32| match amount.is_finite() {
            true => Ok(()),
            false => Err(EffortError::BiasNotFinite { token, amount }),
        };
        match self {
            Self::Free => Ok(()),
            Self::Force(token) => known(token),
            Self::Bias { token, amount } => {
                known(token)?;
                finite(token, amount)
            }
            Self::Steer(steer) => {
                steer.banned().try_for_each(known)?;
                if let Some((token, share)) = steer.raise {
                    known(token)?;
                    finite(token, share)?;
                }
                if let Some(only) = steer.only {
                    length("effort mask", vocab_size.div_ceil(32), only.len())?;
                }
                steer.instead.map_or(Ok(()), |(_, other)| known(other))
            }
        }
    }
}

impl Steer<'_> {
    fn banned(&self) -> impl Iterator<Item = u32> {
        self.ban.iter().flat_map(|ban| ban.iter().copied())
    }

    fn apply(&self, logits: &mut [f32]) {
        if let Some(only) = self.only
            && allows_any_of(only, logits)
        {
            apply_mask(logits, only);
        }
        for token in self.banned() {
            add(logits, token, BAN);
        }
        if let Some((token, share)) = self.raise {
            let missing = math::max(logits) - logits[token as usize];
            if missing.is_finite() {
                add(logits, token, missing * share);
            }
        }
    }
}

/// Samples one sequence. It remembers the tokens of prompt and answer, and allocates per token at
/// most where that memory doubles. A clone goes on exactly as the original would.
#[derive(Debug, Clone)]
pub struct Sampler {
    vocab_size: usize,
    logit_bias: Vec<(u32, f32)>,
    penalties: Penalties,
    dry: Option<Dry>,
    filter: Filter,
    logprobs: Option<Logprobs>,
    stream: Stream,
    planned: Planned,
}

impl Sampler {
    /// A sampler for rows of `vocab_size` logits, after a prompt.
    ///
    /// # Errors
    /// Parameters that [`SamplingParams::validate`] refuses; a vocabulary size outside 32-bit ids;
    /// an id of the prompt or the logit bias outside the vocabulary.
    pub fn new(
        params: &SamplingParams,
        vocab_size: usize,
        prompt: &[u32],
    ) -> Result<Self, EffortError> {
        params.validate()?;
        if vocab_size == 0 || u32::try_from(vocab_size).is_err() {
            return Err(EffortError::VocabSize { vocab_size });
        }
        for &token in prompt {
            known(token, vocab_size, "the prompt")?;
        }
        for &(token, _) in &params.logit_bias {
            known(token, vocab_size, "logit_bias")?;
        }
        Ok(Self {
            vocab_size,
            logit_bias: params.logit_bias.clone(),
            penalties: Penalties::new(params, prompt),
            dry: Dry::new(&params.dry, prompt),
            filter: Filter::new(params, vocab_size),
            logprobs: params.logprobs.map(|n| Logprobs::new(n, vocab_size)),
            stream: Stream::new(params.seed.unwrap_or_else(rand::random)),
            planned: Planned::default(),
        })
    }

    /// The seed in use, also when the parameters had none: giving it again repeats the answer.
    pub fn seed(&self) -> u64 {
        self.stream.seed()
    }

    /// Goes on with other random numbers, from the first of this seed's: a fork that is to find its
    /// own way.
    pub fn reseed(&mut self, seed: u64) {
        self.stream = Stream::new(seed);
    }

    /// Samples the next token without a grammar; see [`Sampler::sample_masked`].
    ///
    /// # Errors
    /// As [`Sampler::sample_masked`].
    pub fn sample(
        &mut self,
        logits: &mut [f32],
        decision: Decision<'_>,
    ) -> Result<Drawn<'_>, EffortError> {
        self.sample_masked(logits, None, decision)
    }

    /// Samples the next token and remembers it. `logits` is one row, `[vocab_size]`, and is
    /// changed in place. In `mask` bit `t % 32` of word `t / 32` is set where token `t` is
    /// allowed.
    ///
    /// Each call uses up one random number, a greedy or forced one too, so that the n-th token of
    /// an answer always meets the n-th number.
    ///
    /// # Errors
    /// A row or mask of another length, NaN or infinite logits, a mask that allows nothing, a
    /// decision about an unknown token or with a bias that is not finite. The sampler is then as
    /// before the call.
    pub fn sample_masked(
        &mut self,
        logits: &mut [f32],
        mask: Option<&[u32]>,
        decision: Decision<'_>,
    ) -> Result<Drawn<'_>, EffortError> {
        length("logits", self.vocab_size, logits.len())?;
        self.check(mask, decision)?;
        check_finite(logits)?;
        if let Some(logprobs) = &mut self.logprobs {
            logprobs.observe(logits);
        }
        let u = self.stream.uniform();
        let mut is_instead = false;
        let token = match decision {
            Decision::Force(token) => token,
            _ => {
                if let Some(mask) = mask {
                    apply_mask(logits, mask);
                }
                self.penalize(logits);
                match decision {
                    Decision::Bias { token, amount } => add(logits, token, amount),
                    Decision::Steer(steer) => steer.apply(logits),
                    Decision::Free | Decision::Force(_) => {}
                }
                let drawn = self.filter.draw(logits, u);
                let other = decision.instead_of(drawn);
                is_instead = other.is_some();
                other.unwrap_or(drawn)
            }
        };
        self.remember(token);
        let logprobs = self.logprobs.as_ref();
        Ok(Drawn {
            token,
            is_instead,
            logprob: logprobs.map(|logprobs| logprobs.of(token)),
            top_logprobs: logprobs.map_or(&[], Logprobs::top),
        })
    }

    /// Remembers a token of the answer that was not sampled here, and uses up its random number.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    pub fn accept(&mut self, token: u32) -> Result<(), EffortError> {
        known(token, self.vocab_size, "the answer")?;
        self.stream.uniform();
        self.remember(token);
        Ok(())
    }

    fn remember(&mut self, token: u32) {
        self.penalties.accept(token);
        if let Some(dry) = &mut self.dry {
            dry.accept(token);
        }
    }

    fn penalize(&mut self, logits: &mut [f32]) {
        self.penalties.apply(logits);
        if let Some(dry) = &mut self.dry {
            dry.apply(logits);
        }
        for &(token, amount) in &self.logit_bias {
            add(logits, token, amount);
        }
    }

    fn check(&self, mask: Option<&[u32]>, decision: Decision<'_>) -> Result<(), EffortError> {
        if let Some(mask) = mask {
            length("grammar mask", self.vocab_size.div_ceil(32), mask.len())?;
            if !matches!(decision, Decision::Force(_)) && !allows_any(mask, self.vocab_size) {
                return Err(EffortError::AllMasked);
            }
        }
        decision.check(self.vocab_size)
    }
}

fn check_finite(logits: &[f32]) -> Result<(), EffortError> {
    if math::all_finite(logits) {
        return Ok(());
    }
    let token = logits
        .iter()
        .position(|logit| !logit.is_finite())
        .unwrap_or(0);
    Err(EffortError::NonFiniteLogits {
        token,
        value: logits[token],
    })
}

fn known(token: u32, vocab_size: usize, place: &'static str) -> Result<(), EffortError> {
    if (token as usize) < vocab_size {
        return Ok(());
    }
    Err(EffortError::UnknownToken {
        place,
        token,
        vocab_size,
    })
}

fn length(what: &'static str, expected: usize, found: usize) -> Result<(), EffortError> {
    if expected == found {
        return Ok(());
    }
    Err(EffortError::Length {
        what,
        expected,
        found,
    })
}

/// Adds to one logit; what was masked stays masked, what was finite stays finite.
fn add(logits: &mut [f32], token: u32, amount: f32) {
    let logit = &mut logits[token as usize];
    if *logit > f32::NEG_INFINITY {
        *logit = (*logit + amount).clamp(f32::MIN, f32::MAX);
    }
}

/// Whether any token is allowed; bits beyond the vocabulary do not count.
fn allows_any(mask: &[u32], vocab_size: usize) -> bool {
    let unused = mask.len() * 32 - vocab_size;
    match mask.split_last() {
        Some((last, words)) => words.iter().any(|&w| w != 0) || last & (u32::MAX >> unused) != 0,
        None => false,
    }
}

/// Whether a mask allows a token whose logit is not `-inf`.
fn allows_any_of(mask: &[u32], logits: &[f32]) -> bool {
    logits
        .chunks(32)
        .zip(mask)
        .filter(|&(_, &word)| word != 0)
        .any(|(chunk, &word)| {
            let mut bits = chunk.iter().enumerate();
            bits.any(|(bit, logit)| word >> bit & 1 == 1 && *logit > f32::NEG_INFINITY)
        })
}

/// Sets the logits of tokens that are not allowed to `-inf`.
fn apply_mask(logits: &mut [f32], mask: &[u32]) {
    for (chunk, &word) in logits.chunks_mut(32).zip(mask) {
        if word == u32::MAX {
            continue;
        }
        for (bit, logit) in chunk.iter_mut().enumerate() {
            *logit = if word >> bit & 1 == 1 {
                *logit
            } else {
                f32::NEG_INFINITY
            };
        }
    }
}

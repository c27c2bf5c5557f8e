//! Looking ahead of a thought: what would the answer be if it ended here?
//!
//! At a natural break an answer forks its sequence, copy-on-write; the fork gets what ends a thought
//! (words of hand-over and a close marker), and where a trial answer is wanted words that lead to it,
//! and rides in the same steps as everything else. What it sees goes back to the answer through a [`Slot`], and into no text.

use std::sync::{Arc, Mutex, PoisonError};

use ponder_effort::exit::{ExitRule, Glimpse, entropy};

use crate::{
    EarlyExit, EngineError, FinishReason, driver::Drawn, effort::fragment, load::TextParts,
    votes::key,
};

/// Tokens of a trial answer at most.
const MAX_TRIAL: usize = 24;

/// What a probe has seen, for its answer.
type Slot = Arc<Mutex<State>>;

#[derive(Debug, Default)]
struct State {
    glimpse: Option<Glimpse>,
    /// Tokens that were computed for it.
    n_tokens: usize,
    is_over: bool,
}

fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, State> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The looks of one answer.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    rule: ExitRule,
    /// What is put behind the thought.
    lead: Arc<[u32]>,
    /// Tokens between two looks.
    every: usize,
    /// The look that is under way.
    slot: Option<Slot>,
    last_at: usize,
    n_tokens: usize,
}

impl Looks {
    /// Looks of this kind; `None` where there are none, or the model's thoughts cannot be closed.
    pub(crate) fn new(kind: EarlyExit, text: &TextParts) -> Option<Self> {
        let rule = match kind {
            EarlyExit::Off => return None,
            EarlyExit::Entropy => ExitRule::entropy(),
            EarlyExit::Confidence => ExitRule::Confidence,
            EarlyExit::Agreement => ExitRule::agreement(),
        };
        let reasoning = text.format.reasoning.as_ref()?;
        let cue = match rule.wants_trial() {
            true => text.profile.answer_cue(),
            false => "",
        };
        let (hand_over, after_close) = (&reasoning.hand_over, &reasoning.after_close);
        let lead = format!("{hand_over}{}{after_close}{cue}", reasoning.close);
        let lead = fragment(&text.tokenizer, &lead).filter(|lead| {
            let mut ids = lead.iter();
            !lead.is_empty() && ids.all(|&id| (id as usize) < text.vocab_size)
        })?;
        Some(Self {
            rule,
            lead: lead.into(),
            every: text.profile.look_every(),
            slot: None,
            last_at: 0,
            n_tokens: 0,
        })
    }

    /// Tokens that looking has cost.
    pub(crate) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The looks of a fork, which begin anew with what is known.
    pub(crate) fn fork(&self) -> Self {
        Self {
            slot: None,
            n_tokens: 0,
            ..self.clone()
        }
    }

    /// What was seen since the last call. Returns whether the thought is settled.
    pub(crate) fn is_settled(&mut self) -> bool {
        let Some(slot) = self.slot.take() else {
            return false;
        };
        let mut state = lock(&slot);
        if !state.is_over {
            drop(state);
            self.slot = Some(slot);
            return false;
        }
        self.n_tokens += state.n_tokens;
        let glimpse = state.glimpse.take();
        glimpse.is_some_and(|glimpse| self.rule.observe(glimpse))
    }

    /// Ends the look that is under way; what it cost counts.
    pub(crate) fn stop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let mut state = lock(&slot);
            state.is_over = true;
            self.n_tokens += state.n_tokens;
        }
    }

    /// A look from a break after `n_tokens` tokens, with `n_left` tokens to spare; `None` where it is
    /// too early for another one.
    pub(crate) fn start(
        &mut self,
        n_tokens: usize,
        n_left: usize,
        text: &Arc<TextParts>,
        lead: &mut Vec<u32>,
    ) -> Option<Probe> {
        let is_due = n_tokens >= self.last_at + self.every && self.slot.is_none();
        if !is_due || n_left <= self.lead.len() + MAX_TRIAL {
            return None;
        }
        self.last_at = n_tokens;
        lead.extend_from_slice(&self.lead);
        let slot = Slot::default();
        lock(&slot).n_tokens = self.lead.len();
        self.slot = Some(Arc::clone(&slot));
        Some(Probe {
            text: Arc::clone(text),
            slot,
            is_trial: self.rule.wants_trial(),
            tokens: Vec::new(),
            log_probability: 0.0,
        })
    }
}

/// One look.
pub(crate) struct Probe {
    text: Arc<TextParts>,
    slot: Slot,
    is_trial: bool,
    tokens: Vec<u32>,
    log_probability: f64,
}

impl Probe {
    /// Whether the answer that it is for is over, or needs it no more.
    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.slot).is_over || Arc::strong_count(&self.slot) == 1
    }

    /// Takes the likeliest token of a trial answer, or the entropy of what comes next.
    pub(crate) fn draw(&mut self, logits: &[f32]) -> Drawn {
        let (entropy, log_sum) = entropy(logits);
        if !self.is_trial {
            return self.seen(0, Glimpse::Entropy(entropy));
        }
        let best = logits.iter().enumerate();
        let (token, logit) = best.fold((0, f32::NEG_INFINITY), |best, (token, &logit)| {
            if logit > best.1 { (token, logit) } else { best }
        });
        let token = token as u32;
        let is_stop = self.text.stop_tokens.contains(&token);
        if !is_stop {
            self.log_probability += f64::from(logit) - log_sum;
            self.tokens.push(token);
            lock(&self.slot).n_tokens += 1;
        }
        let said = self.text.tokenizer.decode(&self.tokens, true);
        let said = said.trim_start();
        let is_line = said.contains('\n');
        if !is_stop && !is_line && self.tokens.len() < MAX_TRIAL {
            return Drawn { token, end: None };
        }
        let key = said.lines().next().and_then(key);
        let n = self.tokens.len().max(1) as f64;
        let confidence = (self.log_probability / n).exp();
        self.seen(token, Glimpse::Trial { key, confidence })
    }

    fn seen(&self, token: u32, glimpse: Glimpse) -> Drawn {
        let mut state = lock(&self.slot);
        state.glimpse = Some(glimpse);
        let end = Some(FinishReason::Stop);
        Drawn { token, end }
    }

    /// The end, whatever was seen.
    pub(crate) fn finish(self, _: Result<FinishReason, EngineError>) {
        lock(&self.slot).is_over = true;
    }
}

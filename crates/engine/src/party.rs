//! Who draws from the logits of a sequence: an answer, or a probe that looks ahead for one.

use ponder_runtime::backend::KeptLogits;

use crate::{
    EngineError, FinishReason,
    answer::Answer,
    driver::{Asked, Consumer, Drawn, Taken},
    outlet::{Address, Outlet},
    probe::Probe,
    schedule::Turn,
};

/// An answer or a probe.
pub(crate) enum Party {
    Answer(Box<Answer>),
    Probe(Probe),
}

impl Party {
    /// Whether it is the answer that is meant.
    pub(crate) fn is_read_by(&self, address: &Address) -> bool {
        match self {
            Self::Answer(answer) => answer.outlet().is_read_by(address),
            Self::Probe(_) => false,
        }
    }

    /// A second answer from where this one is; a probe has none.
    pub(crate) fn fork(&mut self, outlet: Outlet, seed: Option<u64>) -> Option<Self> {
        match self {
            Self::Answer(answer) => Some(Self::Answer(Box::new(answer.fork(outlet, seed)))),
            Self::Probe(_) => None,
        }
    }
}

impl Consumer for Party {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Answer(answer) => answer.is_cancelled(),
            Self::Probe(probe) => probe.is_cancelled(),
        }
    }

    fn is_paused(&self) -> bool {
        match self {
            Self::Answer(answer) => answer.is_paused(),
            Self::Probe(_) => false,
        }
    }

    fn turn(&self) -> Turn {
        match self {
            Self::Answer(answer) => answer.turn(),
            Self::Probe(_) => Turn::default(),
        }
    }

    fn uses_prefix_cache(&self) -> bool {
        match self {
            Self::Answer(answer) => answer.uses_prefix_cache(),
            Self::Probe(_) => true,
        }
    }

    fn prompt_progress(&mut self, done: usize, cached: usize) {
        if let Self::Answer(answer) = self {
            answer.prompt_progress(done, cached);
        }
    }

    fn draw(&mut self, logits: &mut [f32]) -> Result<Drawn, EngineError> {
        match self {
            Self::Answer(answer) => answer.draw(logits),
            Self::Probe(probe) => Ok(probe.draw(logits)),
        }
    }

    fn ask(&mut self, row: usize, logits: &dyn KeptLogits) -> Result<Asked, EngineError> {
        match self {
            Self::Answer(answer) => answer.ask(row, logits),
            // It weighs all of them.
            Self::Probe(_) => Ok(Asked::Logits),
        }
    }

    fn take(&mut self, token: Taken<'_>) -> Result<Option<Drawn>, EngineError> {
        match self {
            Self::Answer(answer) => answer.take(token),
            Self::Probe(_) => Ok(None),
        }
    }

    fn max_drafts(&self) -> usize {
        match self {
            Self::Answer(answer) => answer.max_drafts(),
            Self::Probe(_) => 0,
        }
    }

    fn forced(&self, tokens: &mut Vec<u32>) {
        if let Self::Answer(answer) = self {
            answer.forced(tokens);
        }
    }

    fn look_ahead(&mut self, lead: &mut Vec<u32>) -> Option<(Self, usize)> {
        match self {
            Self::Answer(answer) => {
                let (probe, before) = answer.look_ahead(lead)?;
                Some((Self::Probe(probe), before))
            }
            Self::Probe(_) => None,
        }
    }

    fn finish(self, end: Result<FinishReason, EngineError>) {
        match self {
            Self::Answer(answer) => answer.finish(end),
            Self::Probe(probe) => probe.finish(end),
        }
    }
}

//! The answers of one sequence.

use super::{Consumer, Drawn};
use crate::{
    EngineError, FinishReason,
    draft::{Gate, Lookup},
    schedule::Entry,
};

/// A sequence's answers: one, or several until they differ.
pub(super) struct Branch<C> {
    pub(super) consumer: C,
    /// Answers that have said the same so far; they go their own ways with the next token.
    pub(super) siblings: Vec<C>,
    /// What the siblings drew of that token's logits.
    pub(super) drawn: Vec<Result<Drawn, EngineError>>,
    /// Tokens that all of them have in common.
    pub(super) n_shared: usize,
    pub(super) end: Option<Result<FinishReason, EngineError>>,
    pub(super) lookup: Lookup,
    pub(super) gate: Gate,
    /// The drafts of the coming step are certain, and say nothing about others.
    pub(super) is_certain: bool,
}

impl<C> Branch<C> {
    pub(super) fn new(consumer: C, siblings: Vec<C>) -> Self {
        Self {
            consumer,
            siblings,
            drawn: Vec::new(),
            n_shared: 0,
            end: None,
            lookup: Lookup::default(),
            gate: Gate::new(),
            is_certain: false,
        }
    }
}

impl<C: Consumer> Branch<C> {
    pub(super) fn consumers(&self) -> impl Iterator<Item = &C> {
        std::iter::once(&self.consumer).chain(&self.siblings)
    }

    pub(super) fn consumers_mut(&mut self) -> impl Iterator<Item = &mut C> {
        std::iter::once(&mut self.consumer).chain(&mut self.siblings)
    }

    pub(super) fn finish(self, mut end: impl FnMut() -> Result<FinishReason, EngineError>) {
        let all = std::iter::once(self.consumer).chain(self.siblings);
        all.for_each(|consumer| consumer.finish(end()));
    }
}

pub(super) fn tell_progress<C: Consumer>(entry: &mut Entry<Branch<C>>) {
    let (done, cached) = (entry.n_computed(), entry.n_cached());
    if entry.is_running() {
        let all = entry.payload.consumers_mut();
        all.for_each(|consumer| consumer.prompt_progress(done, cached));
    }
}

/// Draws tokens as long as they are what was drafted, and one more. `row` is memory for a copy.
pub(super) fn draw<'a, C: Consumer>(
    entry: &mut Entry<Branch<C>>,
    n_drafts: usize,
    rows: &mut impl Iterator<Item = &'a mut [f32]>,
    row: &mut Vec<f32>,
) {
    let mut n_right = 0;
    for logits in rows {
        let branch = &mut entry.payload;
        for sibling in &mut branch.siblings {
            row.clear();
            row.extend_from_slice(logits);
            branch.drawn.push(sibling.draw(row));
        }
        let drawn = branch.consumer.draw(logits);
        if !accept(entry, drawn, n_drafts, &mut n_right) {
            return;
        }
    }
}

/// What the sequence's answer has drawn is its next token, after so many drafts that were right of all.
/// Returns whether it is what was drafted, so that the next row belongs to the text, too.
pub(super) fn accept<C: Consumer>(
    entry: &mut Entry<Branch<C>>,
    drawn: Result<Drawn, EngineError>,
    n_drafts: usize,
    n_right: &mut usize,
) -> bool {
    let n_shared = entry.known().len();
    let branch = &mut entry.payload;
    branch.n_shared = n_shared;
    let Drawn { token, end } = match drawn {
        Ok(drawn) => drawn,
        Err(error) => {
            branch.end = Some(Err(error));
            return false;
        }
    };
    branch.end = end.map(Ok);
    let as_drafted = entry.accept(token);
    *n_right += usize::from(as_drafted);
    let goes_on = as_drafted && end.is_none();
    if !goes_on {
        let wrong = !as_drafted && *n_right < n_drafts;
        let branch = &mut entry.payload;
        if !std::mem::take(&mut branch.is_certain) {
            branch.gate.observe(*n_right, wrong);
        }
    }
    goes_on
}

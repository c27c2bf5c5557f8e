//! What happens when the device has no memory for a step.

use ponder_runtime::decoder::{DecoderError, Model};

use super::{Entry, Limits, Scheduler};

impl Limits {
    /// Those with which a step of so many rows, for so many sequences, so many of them drafts, is
    /// smaller; `None` where none are.
    fn less(self, n_rows: usize, n_sequences: usize, n_drafts: usize) -> Option<Self> {
        let half = |limit: usize| (limit / 2).max(1);
        let has_prompts = n_rows > n_sequences && self.chunk_alone.max(self.chunk_beside) > 1;
        let less = match (n_drafts > 0, has_prompts) {
            // They are what is missed least.
            (true, _) => Self {
                with_drafts: false,
                ..self
            },
            (false, true) => Self {
                chunk_alone: half(self.chunk_alone),
                chunk_beside: half(self.chunk_beside),
                ..self
            },
            (false, false) => Self {
                max_sequences: half(self.max_sequences.min(n_sequences)),
                ..self
            },
        };
        (less != self).then_some(less)
    }
}

impl<T> Scheduler<T> {
    /// After a step for which the device had no memory: undoes it, and plans smaller ones until all
    /// sequences have ended. Returns whether there are any.
    pub(crate) fn shrink(&mut self, model: &mut dyn Model) -> Result<bool, DecoderError> {
        let fed = || self.running.iter().filter(|entry| entry.n_fed > 0);
        let n_rows = fed().map(|entry| entry.n_fed).sum();
        let n_drafts = fed().map(Entry::n_drafts).sum();
        let Some(limits) = self.limits.less(n_rows, fed().count(), n_drafts) else {
            return Ok(false);
        };
        tracing::warn!(
            "the device has no memory for {n_rows} tokens at a time: steps are smaller until all answers are done"
        );
        self.limits = limits;
        for index in (0..self.running.len()).rev() {
            let n_running = self.running.len();
            let entry = &mut self.running[index];
            let is_as_before = entry.n_fed == 0 || undo(entry, model);
            // A recurrent state has moved on; it is computed anew.
            if !is_as_before || n_running > self.limits.max_sequences {
                self.preempt_at(index, model)?;
            }
        }
        Ok(true)
    }

    /// Takes everybody's place, so that all are computed anew, from the tokens that they are, by a model
    /// that such steps suit.
    pub(crate) fn start_over(
        &mut self,
        model: &mut dyn Model,
        prefill_rows: usize,
    ) -> Result<(), DecoderError> {
        self.usual = self.usual.with_prefill_rows(prefill_rows);
        self.limits = self.usual;
        for index in (0..self.running.len()).rev() {
            let entry = &mut self.running[index];
            entry.tokens.truncate(entry.n_known);
            self.preempt_at(index, model)?;
        }
        Ok(())
    }
}

/// Takes back what a step was to append. Returns whether that was possible.
fn undo<T>(entry: &mut Entry<T>, model: &mut dyn Model) -> bool {
    entry.n_fed = 0;
    entry.tokens.truncate(entry.n_known);
    let sequence = entry
        .sequence
        .map(|id| model.truncate(id, entry.n_computed));
    matches!(sequence, Some(Ok(len)) if len == entry.n_computed)
}

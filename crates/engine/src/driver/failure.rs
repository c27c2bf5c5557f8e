//! What becomes of a step that failed.

use super::{Branch, Consumer, Driver};
use crate::{EngineError, schedule::Entry};

impl<C: Consumer> Driver<C> {
    /// Whether the step that failed comes again, in smaller pieces.
    pub(super) fn goes_on(&mut self, error: &EngineError) -> bool {
        match error {
            EngineError::Decoder(error) if error.is_out_of_memory() => {
                let shrunk = self.scheduler.shrink(self.model.as_mut());
                shrunk.unwrap_or_else(|error| {
                    tracing::error!(%error, "a step could not be undone");
                    false
                })
            }
            _ => false,
        }
    }

    /// Ends all sequences of a step that failed; where it failed before it began, all of them.
    pub(super) fn fail(&mut self, error: EngineError) {
        let message = error.to_string();
        let was_planned = self
            .scheduler
            .running()
            .iter()
            .any(|entry| entry.n_fed() > 0);
        let is_hit = |entry: &mut Entry<Branch<C>>| entry.n_fed() > 0 || !was_planned;
        let mut first = Some(error);
        let removed = &mut self.removed;
        if let Err(error) = self.scheduler.remove(is_hit, self.model.as_mut(), removed) {
            tracing::error!(%error, "a sequence could not be freed");
        }
        for branch in self.removed.drain(..) {
            branch.finish(|| Err(first.take().unwrap_or(EngineError::Step(message.clone()))));
        }
    }
}

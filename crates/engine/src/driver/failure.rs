//! What becomes of a step that failed.

use ponder_runtime::decoder::DecoderError;

use super::{Branch, Consumer, Driver};
use crate::{EngineError, draft::StepTimes, schedule::Entry};

impl<C: Consumer> Driver<C> {
    /// Whether the step that failed comes again, in smaller pieces or elsewhere.
    pub(super) fn goes_on(&mut self, error: &EngineError) -> bool {
        match error {
            EngineError::Decoder(error) if error.is_out_of_memory() => {
                let shrunk = self.scheduler.shrink(self.model.as_mut());
                shrunk.unwrap_or_else(|error| {
                    tracing::error!(%error, "a step could not be undone");
                    false
                })
            }
            EngineError::Decoder(error) if error.is_lost() => self.moves(error),
            _ => false,
        }
    }

    /// Leaves a device that is lost, if there is somewhere to go. All sequences are computed anew there.
    pub(super) fn moves(&mut self, lost: &DecoderError) -> bool {
        let Some(spare) = self.spare.take() else {
            return false;
        };
        tracing::warn!(error = %lost, "the model goes on without its device");
        let moved = spare().and_then(|model| {
            let rows = model.prefill_rows();
            self.scheduler.start_over(self.model.as_mut(), rows)?;
            (self.model, self.times) = (model, StepTimes::new());
            self.gauges.lose_device();
            Ok(())
        });
        if let Err(error) = &moved {
            tracing::error!(%error, "the model cannot go on elsewhere");
        }
        moved.is_ok()
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

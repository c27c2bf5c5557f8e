//! Ctrl-C: ends the thought and the answer goes on; where there is no thought, ends the answer; then
//! the program.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ponder_engine::Canceller;

use crate::error::{CliError, INTERRUPTED};

/// What the next Ctrl-C cancels, and whether an earlier one has ended the thought; taken by the one
/// that ends the answer, so that the one after finds nothing and ends the program. Nothing is here while a model loads or a chat waits for input.
static ANSWER: Mutex<Option<(Canceller, bool)>> = Mutex::new(None);

fn answer() -> MutexGuard<'static, Option<(Canceller, bool)>> {
    ANSWER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes over Ctrl-C for the rest of the program.
pub(crate) fn install() -> Result<(), CliError> {
    ctrlc::set_handler(|| {
        let mut answer = answer();
        match answer.take() {
            Some((canceller, false)) if canceller.is_thinking() => {
                canceller.answer_now();
                *answer = Some((canceller, true));
            }
            Some((canceller, _)) => canceller.cancel(),
            None => std::process::exit(INTERRUPTED.into()),
        }
    })
    .map_err(|error| CliError::failed(format!("cannot listen to Ctrl-C: {error}")))
}

/// While this lives, Ctrl-C ends one thought or answer.
pub(crate) struct Cancellable(());

impl Cancellable {
    /// Makes the answer the one that Ctrl-C ends.
    pub(crate) fn new(canceller: Canceller) -> Self {
        *answer() = Some((canceller, false));
        Self(())
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        answer().take();
    }
}

//! Ctrl-C: the first ends the answer, the second ends the program.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ponder_engine::Canceller;

use crate::error::{CliError, INTERRUPTED};

/// What the next Ctrl-C cancels; taken by it, so that the one after finds nothing and ends
/// the program. Nothing is here while a model loads or a chat waits for input.
static ANSWER: Mutex<Option<Canceller>> = Mutex::new(None);

fn answer() -> MutexGuard<'static, Option<Canceller>> {
    ANSWER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes over Ctrl-C for the rest of the program.
pub(crate) fn install() -> Result<(), CliError> {
    ctrlc::set_handler(|| match answer().take() {
        Some(canceller) => canceller.cancel(),
        None => std::process::exit(INTERRUPTED.into()),
    })
    .map_err(|error| CliError::failed(format!("cannot listen to Ctrl-C: {error}")))
}

/// While this lives, Ctrl-C cancels one answer.
pub(crate) struct Cancellable(());

impl Cancellable {
    /// Makes the answer the one that Ctrl-C ends.
    pub(crate) fn new(canceller: Canceller) -> Self {
        *answer() = Some(canceller);
        Self(())
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        answer().take();
    }
}

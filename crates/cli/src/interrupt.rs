//! Ctrl-C: ends the thought and the answer goes on; where there is no thought, ends the answer, or the
//! measurement; then the program.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ponder_bench::Stop;
use ponder_engine::Canceller;

use crate::error::{CliError, INTERRUPTED};

/// What Ctrl-C ends.
enum Running {
    /// An answer, and whether an earlier Ctrl-C has ended the thought.
    Answer(Canceller, bool),
    Measurement(Stop),
}

/// What the next Ctrl-C ends; taken by the one that ends it, so that the one after finds nothing and
/// ends the program. Nothing is here while a model loads or a chat waits for input.
static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

fn running() -> MutexGuard<'static, Option<Running>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes over Ctrl-C for the rest of the program.
pub(crate) fn install() -> Result<(), CliError> {
    ctrlc::set_handler(|| {
        let mut running = running();
        match running.take() {
            Some(Running::Answer(canceller, false)) if canceller.is_thinking() => {
                canceller.answer_now();
                *running = Some(Running::Answer(canceller, true));
            }
            Some(Running::Answer(canceller, _)) => canceller.cancel(),
            Some(Running::Measurement(stop)) => stop.stop(),
            None => std::process::exit(INTERRUPTED.into()),
        }
    })
    .map_err(|error| CliError::failed(format!("cannot listen to Ctrl-C: {error}")))
}

/// While this lives, Ctrl-C ends one thought or answer, or one measurement.
pub(crate) struct Cancellable(());

impl Cancellable {
    /// Makes the answer the one that Ctrl-C ends.
    pub(crate) fn new(canceller: Canceller) -> Self {
        *running() = Some(Running::Answer(canceller, false));
        Self(())
    }

    /// Makes a measurement what Ctrl-C ends.
    pub(crate) fn measurement(stop: Stop) -> Self {
        *running() = Some(Running::Measurement(stop));
        Self(())
    }
}

impl Drop for Cancellable {
    fn drop(&mut self) {
        running().take();
    }
}

//! Ending a measurement early.

use tokio_util::sync::CancellationToken;

/// Ends a measurement early: whoever has a copy may.
///
/// What runs is broken off, and is in no figure; programs that were started end with it.
#[derive(Clone, Debug, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Ends it.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether it was ended.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is ended.
    pub(crate) async fn wait(&self) {
        self.0.cancelled().await;
    }
}

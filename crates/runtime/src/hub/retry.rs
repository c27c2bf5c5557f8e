//! Failures that may pass, and how long to wait for that.

use std::time::Duration;

use super::{HubError, Progress, RetryPolicy};

/// A request that failed.
pub(super) enum Failure {
    /// Asking again would give the same answer.
    Final(HubError),
    /// It may work next time.
    Again {
        /// Reported when there is no next time.
        error: HubError,
        /// For the progress display, in a few words.
        reason: String,
        /// What the hub asked to wait for (`Retry-After`).
        wait: Option<Duration>,
    },
}

/// Counts failures and chooses waits.
pub(super) struct Backoff<'a> {
    policy: &'a RetryPolicy,
    failed: u32,
}

impl<'a> Backoff<'a> {
    pub(super) fn new(policy: &'a RetryPolicy) -> Backoff<'a> {
        Backoff { policy, failed: 0 }
    }

    /// The connection has proven useful: earlier failures no longer count.
    pub(super) fn reset(&mut self) {
        self.failed = 0;
    }

    /// Waits before the next attempt at `name`, or gives the error when there is none.
    pub(super) async fn wait(
        &mut self,
        failure: Failure,
        name: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        let (error, reason, asked) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Again {
                error,
                reason,
                wait,
            } => (error, reason, wait.unwrap_or_default()),
        };
        self.failed += 1;
        if self.failed >= self.policy.attempts || asked > self.policy.longest_wait {
            return Err(error);
        }
        let doubled = self
            .policy
            .first_wait
            .saturating_mul(2_u32.saturating_pow(self.failed - 1));
        let wait = doubled.min(self.policy.longest_wait).max(asked);
        progress(Progress::Retry {
            name,
            reason: &reason,
            wait,
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Repeats a request until it succeeds or the policy gives up.
pub(super) async fn repeat<T>(
    policy: &RetryPolicy,
    name: &str,
    progress: &mut dyn FnMut(Progress<'_>),
    mut request: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, HubError> {
    let mut backoff = Backoff::new(policy);
    loop {
        match request().await {
            Ok(value) => return Ok(value),
            Err(failure) => backoff.wait(failure, name, progress).await?,
        }
    }
}

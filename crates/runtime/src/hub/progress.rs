//! What a download reports while it runs.

use std::time::Duration;

/// One step of a [`Store::pull`](super::Store::pull). Sizes are in bytes.
///
/// For one file the events are: `Waiting` (when another process downloads it), then `File`
/// with a `done` that never falls, broken by `Retry` where the connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// The next files and how much of them must still be downloaded. A folder of
    /// safetensors is planned in two batches: configuration and tokenizer, then weights.
    Plan {
        /// Files in this batch, those that are already complete included.
        files: usize,
        /// Bytes of this batch that are not on disk yet.
        bytes: u64,
    },
    /// `done` of `total` bytes of the file are on disk.
    File {
        /// Name inside the repository.
        name: &'a str,
        /// Bytes on disk, including those of an earlier, interrupted download.
        done: u64,
        /// Size of the whole file.
        total: u64,
    },
    /// Another process holds the lock on this file; it is waited for.
    Waiting {
        /// Name inside the repository.
        name: &'a str,
    },
    /// A request failed in a way that may pass and is repeated after `wait`.
    Retry {
        /// What was asked for: a file name or the repository.
        name: &'a str,
        /// Why, in a few words.
        reason: &'a str,
        /// Time until the next attempt.
        wait: Duration,
    },
}

use thiserror::Error;

use super::{BLOCK_LEN, SeqId};

/// Why the cache refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CacheError {
    /// The block pool of a group is exhausted.
    #[error(
        "the KV cache is full: {needed} more blocks of {BLOCK_LEN} tokens needed, {free} free (hint: raise --context or end other sequences)"
    )]
    Full {
        /// Blocks that the request needs.
        needed: usize,
        /// Blocks that are left.
        free: usize,
    },
    /// No recurrent slot is left.
    #[error("no room for another sequence: all {0} recurrent slots are in use")]
    NoSlot(usize),
    /// The sequence was freed or never existed.
    #[error("sequence {0:?} is not in the cache")]
    Unknown(SeqId),
    /// Rolling back further than the windows (or a recurrent state) remember.
    #[error(
        "cannot roll back from {len} to {to} tokens: the cache no longer holds what came before (hint: save the state, or take a fork, before the part that may be undone)"
    )]
    Forgotten {
        /// Present length.
        len: usize,
        /// Wanted length.
        to: usize,
    },
}

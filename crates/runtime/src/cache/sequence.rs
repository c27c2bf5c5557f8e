//! One sequence: its length, its tables, what it knows of its tokens.

use super::{BlockTable, SeqId};

/// The state of one sequence.
#[derive(Debug, Clone)]
pub struct Sequence {
    pub(super) len: usize,
    pub(super) planned_len: usize,
    pub(super) tables: Vec<BlockTable>,
    pub(super) slot: Option<u32>,
    pub(super) saved: Option<Saved>,
    pub(super) past: Option<Past>,
}

/// A second slot, for the recurrent state as it was some tokens ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    pub(super) slot: u32,
    /// The length at which it was saved; `None`: what is in the slot is of no use.
    pub(super) len: Option<usize>,
}

/// What a sequence that takes part in the prefix index knows of its tokens.
#[derive(Debug, Clone)]
pub(super) struct Past {
    /// The node that its last whole block is in, or [`NONE`].
    pub(super) node: u32,
    /// The tokens after that which are computed.
    pub(super) tail: Vec<u32>,
}

impl Sequence {
    /// Tokens in the sequence.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was appended yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The length that was announced when the sequence was started; position encodings that depend
    /// on the length of the whole text choose by it once, so that cached keys stay comparable.
    pub fn planned_len(&self) -> usize {
        self.planned_len
    }

    /// The block table of a group.
    pub fn table(&self, group: usize) -> &BlockTable {
        &self.tables[group]
    }

    /// The slot of the recurrent state, where the model has any.
    pub fn slot(&self) -> Option<u32> {
        self.slot
    }
}

/// A sequence that was opened for a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// The sequence.
    pub sequence: SeqId,
    /// Tokens of the prompt that it holds already.
    pub cached: usize,
}

/// Blocks that a coming step has been promised, see [`Cache::fits`](super::Cache::fits).
#[derive(Debug, Default, Clone)]
pub struct Room {
    /// By group.
    pub(super) taken: Vec<usize>,
}

impl Room {
    /// Takes all promises back.
    pub fn clear(&mut self) {
        self.taken.clear();
    }
}

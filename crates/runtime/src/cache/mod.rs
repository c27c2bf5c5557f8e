//! What a sequence remembers: paged keys and values, windows, recurrent state.
//!
//! [`Cache`] is pure bookkeeping. It knows which *blocks* of which *group* hold the tokens of which
//! sequence and never touches a number; a backend owns the storage and is told to
//! [copy](CacheCopy) a block when two sequences that shared it part ways.
//!
//! 1. [`CachePlan::new`] groups the layers of a model: layers with the same window share one block
//!    table, because they always keep the same positions; recurrent layers share one slot.
//! 2. [`Cache::start`] opens a sequence, [`Cache::fork`] copies one without copying its blocks.
//! 3. [`Cache::append`] makes room for tokens and returns the copies that must happen first.
//! 4. [`Cache::truncate`] rolls back, [`Cache::free`] gives everything back.

mod plan;
mod pool;
mod table;

pub use plan::{CachePlan, KvGroup, LayerSlot, RecurrentState};
pub use table::BlockTable;

use pool::Pool;
use thiserror::Error;

/// Tokens per block. Small enough that a fork wastes little, large enough that tables stay short.
pub const BLOCK_LEN: usize = 32;

/// A sequence that the cache knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqId(u32);

/// Work for a backend before the next forward pass, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheCopy {
    /// Copy one block of every layer in a group.
    Block {
        /// Index into [`CachePlan::groups`].
        group: usize,
        /// Source block.
        from: u32,
        /// Destination block.
        to: u32,
    },
    /// Copy the recurrent state of every recurrent layer.
    Slot {
        /// Source slot.
        from: u32,
        /// Destination slot.
        to: u32,
    },
    /// Set the recurrent state of every recurrent layer to zero.
    ClearSlot {
        /// The slot that a new sequence starts from.
        slot: u32,
    },
}

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
        "cannot roll back from {len} to {to} tokens: the cache no longer holds what came before (hint: take a fork before the part that may be undone)"
    )]
    Forgotten {
        /// Present length.
        len: usize,
        /// Wanted length.
        to: usize,
    },
}

/// The state of one sequence.
#[derive(Debug, Clone)]
pub struct Sequence {
    len: usize,
    planned_len: usize,
    tables: Vec<BlockTable>,
    slot: Option<u32>,
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

/// Sequences, blocks and slots of one model.
#[derive(Debug)]
pub struct Cache {
    plan: CachePlan,
    blocks: Vec<Pool>,
    slots: Pool,
    sequences: Vec<Option<Sequence>>,
}

impl Cache {
    /// A cache for `max_tokens` tokens in all sequences together and `max_sequences` sequences.
    pub fn new(plan: CachePlan, max_tokens: usize, max_sequences: usize) -> Self {
        let n_blocks = max_tokens.div_ceil(BLOCK_LEN) + max_sequences;
        let slots = if plan.recurrent.is_empty() {
            0
        } else {
            max_sequences
        };
        Self {
            blocks: plan.groups.iter().map(|_| Pool::new(n_blocks)).collect(),
            slots: Pool::new(slots),
            sequences: Vec::new(),
            plan,
        }
    }

    /// How layers map to groups and slots.
    pub fn plan(&self) -> &CachePlan {
        &self.plan
    }

    /// The sequence behind an id.
    pub fn sequence(&self, id: SeqId) -> Result<&Sequence, CacheError> {
        self.sequences
            .get(id.0 as usize)
            .and_then(Option::as_ref)
            .ok_or(CacheError::Unknown(id))
    }

    /// Opens an empty sequence that is expected to grow to `planned_len` tokens.
    ///
    /// Returns the copies (here: clearing a slot) that the backend must do before the next forward.
    pub fn start(
        &mut self,
        planned_len: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> Result<SeqId, CacheError> {
        let slot = self.take_slot()?;
        copies.extend(slot.map(|slot| CacheCopy::ClearSlot { slot }));
        Ok(self.insert(Sequence {
            len: 0,
            planned_len,
            tables: vec![BlockTable::default(); self.plan.groups.len()],
            slot,
        }))
    }

    /// A second sequence with the same past. Blocks are shared until one of the two writes into one.
    pub fn fork(&mut self, id: SeqId, copies: &mut Vec<CacheCopy>) -> Result<SeqId, CacheError> {
        let mut twin = self.sequence(id)?.clone();
        let slot = self.take_slot()?;
        if let (Some(from), Some(to)) = (twin.slot, slot) {
            copies.push(CacheCopy::Slot { from, to });
        }
        twin.slot = slot;
        for (pool, table) in self.blocks.iter_mut().zip(&twin.tables) {
            table.blocks().iter().for_each(|&block| pool.share(block));
        }
        Ok(self.insert(twin))
    }

    /// Makes room for `n` more tokens: takes blocks, lets go of blocks that no window reaches any
    /// more, and lists the copies that keep shared blocks apart. On error nothing has changed.
    pub fn append(
        &mut self,
        id: SeqId,
        n: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> Result<(), CacheError> {
        let mut sequence = self
            .sequences
            .get_mut(id.0 as usize)
            .and_then(Option::take)
            .ok_or(CacheError::Unknown(id))?;
        let fits = self.check_room(&sequence, n);
        if fits.is_ok() && n > 0 {
            for (group, pool) in self.blocks.iter_mut().enumerate() {
                sequence.tables[group].append(
                    group,
                    sequence.len,
                    n,
                    self.plan.groups[group].window,
                    pool,
                    copies,
                );
            }
            sequence.len += n;
        }
        self.sequences[id.0 as usize] = Some(sequence);
        fits
    }

    /// Forgets all tokens from `len` on.
    ///
    /// # Errors
    /// [`CacheError::Forgotten`] where a window has already let go of what position `len` attends
    /// to, or where the model has recurrent state (fork before the part that may be undone).
    pub fn truncate(&mut self, id: SeqId, len: usize) -> Result<(), CacheError> {
        let sequence = self
            .sequences
            .get_mut(id.0 as usize)
            .and_then(Option::as_mut)
            .ok_or(CacheError::Unknown(id))?;
        if len >= sequence.len {
            return Ok(());
        }
        let held = sequence
            .tables
            .iter()
            .zip(&self.plan.groups)
            .all(|(table, group)| table.holds(len, group.window));
        if !held || sequence.slot.is_some() {
            return Err(CacheError::Forgotten {
                len: sequence.len,
                to: len,
            });
        }
        for (table, pool) in sequence.tables.iter_mut().zip(&mut self.blocks) {
            table.truncate(len, pool);
        }
        sequence.len = len;
        Ok(())
    }

    /// Gives back everything that the sequence held.
    pub fn free(&mut self, id: SeqId) -> Result<(), CacheError> {
        let mut sequence = self
            .sequences
            .get_mut(id.0 as usize)
            .and_then(Option::take)
            .ok_or(CacheError::Unknown(id))?;
        for (table, pool) in sequence.tables.iter_mut().zip(&mut self.blocks) {
            table.truncate(0, pool);
        }
        if let Some(slot) = sequence.slot {
            self.slots.release(slot);
        }
        Ok(())
    }

    /// Tokens that still fit into the fullest group.
    pub fn free_tokens(&self) -> usize {
        self.blocks
            .iter()
            .map(Pool::free)
            .min()
            .unwrap_or(usize::MAX / BLOCK_LEN)
            * BLOCK_LEN
    }

    fn check_room(&self, sequence: &Sequence, n: usize) -> Result<(), CacheError> {
        for (group, pool) in self.blocks.iter().enumerate() {
            let needed = sequence.tables[group].blocks_needed(sequence.len, n, pool);
            if needed > pool.free() {
                return Err(CacheError::Full {
                    needed,
                    free: pool.free(),
                });
            }
        }
        Ok(())
    }

    fn take_slot(&mut self) -> Result<Option<u32>, CacheError> {
        if self.plan.recurrent.is_empty() {
            return Ok(None);
        }
        self.slots
            .take()
            .map(Some)
            .ok_or(CacheError::NoSlot(self.slots.capacity()))
    }

    fn insert(&mut self, sequence: Sequence) -> SeqId {
        let free = self
            .sequences
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.sequences.push(None);
                self.sequences.len() - 1
            });
        self.sequences[free] = Some(sequence);
        SeqId(u32::try_from(free).expect("fewer sequences than u32::MAX"))
    }
}

#[cfg(test)]
mod tests;

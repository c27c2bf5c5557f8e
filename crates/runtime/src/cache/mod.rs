//! What a sequence remembers: paged keys and values, windows, recurrent state.
//!
//! [`Cache`] is pure bookkeeping. It knows which *blocks* of which *group* hold the tokens of which
//! sequence and never touches a number; a backend owns the storage and is told to
//! [copy](CacheCopy) a block when two sequences that shared it part ways.
//!
//! 1. [`CachePlan::new`] groups the layers of a model: layers with the same window share one block
//!    table, because they always keep the same positions; recurrent layers share one slot.
//! 2. [`Cache::open`] opens a sequence for a prompt, of which earlier sequences may have left a
//!    beginning; [`Cache::start`] opens one that keeps to itself; [`Cache::fork`] copies one without
//!    copying its blocks.
//! 3. [`Cache::append`] makes room for tokens and returns the copies that must happen first.
//!    Whether there is room for what several sequences want is asked of [`Cache::fits`].
//! 4. [`Cache::commit`] says that the tokens were computed: whole blocks can be found from now on.
//! 5. [`Cache::truncate`] rolls back, in models with recurrent state to where [`Cache::save`] was
//!    called. [`Cache::free`] gives everything back, but leaves blocks whose
//!    tokens are known for later prompts, until the room is needed.
//!
//! Where a backend's memory is not the machine's, blocks that have to make room can be
//! [kept](Cache::keeping) in the machine's: [`Cache::open`] brings them back.

mod copies;
mod error;
mod plan;
mod pool;
mod prefix;
mod sequence;
mod storage;
mod store;
mod table;
mod tree;

pub use copies::{CacheCapacity, CacheCopy};
pub use error::CacheError;
pub use plan::{CachePlan, KvGroup, KvShape, LayerSlot, RecurrentState};
pub use sequence::{Opened, Room, Sequence};
pub use storage::LayerStorage;
pub use table::BlockTable;

use sequence::{Past, Saved};
use store::NONE;
use tree::Tree;

/// Tokens per block. Small enough that a fork wastes little, large enough that tables stay short.
pub const BLOCK_LEN: usize = 32;

/// A sequence that the cache knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqId(u32);

/// Sequences, blocks and slots of one model.
#[derive(Debug)]
pub struct Cache {
    plan: CachePlan,
    capacity: CacheCapacity,
    tree: Tree,
    sequences: Vec<Option<Sequence>>,
}

impl Cache {
    /// A cache for `max_tokens` tokens in all sequences together and `max_sequences` sequences:
    /// a bound that nothing exceeds. Recurrent layers have room for as many snapshots again.
    pub fn new(plan: CachePlan, max_tokens: usize, max_sequences: usize) -> Self {
        let n_blocks = max_tokens.div_ceil(BLOCK_LEN).saturating_add(max_sequences);
        let n_slots = match plan.recurrent.len() {
            0 => 0,
            _ => 2 * max_sequences,
        };
        Self {
            capacity: CacheCapacity {
                n_blocks,
                n_slots,
                n_kept_blocks: 0,
                n_kept_slots: 0,
            },
            tree: Tree::new(&plan.groups, n_blocks, n_slots, max_sequences),
            sequences: Vec::new(),
            plan,
        }
    }

    /// The same with room for so many blocks of each group, and as many recurrent states as there are
    /// already, in memory that is not the backend's own. What has to make room there goes here, and
    /// comes back when a prompt begins with it.
    pub fn keeping(mut self, n_blocks: usize) -> Self {
        let n_slots = if n_blocks > 0 {
            self.capacity.n_slots
        } else {
            0
        };
        (self.capacity.n_kept_blocks, self.capacity.n_kept_slots) = (n_blocks, n_slots);
        self.tree.keep_up_to(n_blocks, n_slots);
        self
    }

    /// How much a backend's storage has to hold.
    pub fn capacity(&self) -> CacheCapacity {
        self.capacity
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

    /// Opens an empty sequence that is expected to grow to `planned_len` tokens. It neither finds
    /// what others have left nor leaves anything.
    ///
    /// Returns the copies (here: clearing a slot) that the backend must do before the next forward.
    pub fn start(
        &mut self,
        planned_len: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> Result<SeqId, CacheError> {
        let slot = self.take_slot(copies)?;
        copies.extend(slot.map(|slot| CacheCopy::ClearSlot { slot }));
        Ok(self.insert(Sequence {
            len: 0,
            planned_len,
            tables: vec![BlockTable::default(); self.plan.groups.len()],
            slot,
            saved: None,
            past: None,
        }))
    }

    /// Opens a sequence for a prompt, with as much of its beginning as the cache has: whole blocks
    /// and the first tokens of one more, but never the last token, whose logits will be wanted.
    pub fn open(
        &mut self,
        prompt: &[u32],
        planned_len: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> Result<Opened, CacheError> {
        let found = self.find(prompt, planned_len);
        let (len, node) = (found.len, found.node);
        let end = found.end();
        // The slot may have to come from a snapshot, which must not take this path away.
        self.tree.pin(end);
        self.tree.pin(node);
        let (snapshot, kept) = match end {
            NONE => (None, None),
            end => (self.tree.snapshot(end), self.tree.kept_snapshot(end)),
        };
        let slot = self.take_slot(copies);
        let tables = slot.is_ok().then(|| self.shared_tables(end, len, copies));
        self.tree.unpin(end);
        let slot = slot.inspect_err(|_| self.tree.unpin(node))?;
        copies.extend(slot.and_then(|to| match (snapshot, kept) {
            // The snapshot itself became the sequence's state.
            (Some(from), _) if from == to => None,
            (Some(from), _) => Some(CacheCopy::Slot { from, to }),
            (None, Some(from)) => Some(CacheCopy::RestoreSlot { from, to }),
            (None, None) => Some(CacheCopy::ClearSlot { slot: to }),
        }));
        let tail = prompt[self.tree.len_at(node)..len].to_vec();
        let sequence = self.insert(Sequence {
            len,
            planned_len,
            tables: tables.unwrap_or_default(),
            slot,
            saved: None,
            past: Some(Past { node, tail }),
        });
        let cached = len;
        Ok(Opened { sequence, cached })
    }

    /// A second sequence with the same past. Blocks are shared until one of the two writes into one.
    pub fn fork(&mut self, id: SeqId, copies: &mut Vec<CacheCopy>) -> Result<SeqId, CacheError> {
        let mut twin = self.sequence(id)?.clone();
        let slot = self.take_slot(copies)?;
        if let (Some(from), Some(to)) = (twin.slot, slot) {
            copies.push(CacheCopy::Slot { from, to });
        }
        twin.slot = slot;
        twin.saved = None;
        for (group, table) in twin.tables.iter().enumerate() {
            for &block in table.blocks() {
                self.tree.share(group, block);
            }
        }
        if let Some(past) = &twin.past {
            self.tree.pin(past.node);
        }
        Ok(self.insert(twin))
    }

    /// Whether `n` more tokens of a sequence fit beside what `room` has been promised already; if
    /// so they are promised too. [`Cache::append`] then finds the blocks, in whatever order.
    pub fn fits(&self, room: &mut Room, id: SeqId, n: usize) -> Result<bool, CacheError> {
        let sequence = self.sequence(id)?;
        room.taken.resize(self.tree.n_groups(), 0);
        let needed = |group: usize| self.blocks_needed(sequence, group, n);
        let fits = |group: usize| room.taken[group] + needed(group) <= self.tree.available(group);
        if !(0..self.tree.n_groups()).all(fits) {
            return Ok(false);
        }
        for group in 0..self.tree.n_groups() {
            room.taken[group] += needed(group);
        }
        Ok(true)
    }

    /// Makes room for `n` more tokens: takes blocks, lets go of blocks that no window reaches any
    /// more, and lists the copies that keep shared blocks apart. On error nothing has changed.
    pub fn append(
        &mut self,
        id: SeqId,
        n: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> Result<(), CacheError> {
        let mut sequence = self.take(id)?;
        let fits = self.check_room(&sequence, n);
        if fits.is_ok() && n > 0 {
            for (group, table) in sequence.tables.iter_mut().enumerate() {
                table.append(group, sequence.len, n, &mut self.tree, copies);
            }
            sequence.len += n;
        }
        self.sequences[id.0 as usize] = Some(sequence);
        fits
    }

    /// Says that the tokens appended last are computed. Whole blocks can be found from now on; one
    /// that another sequence has computed too is given back for that one's. Where a prompt ends
    /// with a block, the recurrent state is kept as a snapshot, for which a copy is listed.
    pub fn commit(
        &mut self,
        id: SeqId,
        tokens: &[u32],
        copies: &mut Vec<CacheCopy>,
    ) -> Result<(), CacheError> {
        let mut sequence = self.take(id)?;
        if let Some(past) = &mut sequence.past {
            past.tail.extend_from_slice(tokens);
        }
        self.enter_whole_blocks(&mut sequence);
        if tokens.len() >= BLOCK_LEN {
            self.snapshot(&sequence, copies);
        }
        self.sequences[id.0 as usize] = Some(sequence);
        Ok(())
    }

    /// Keeps the recurrent state of a sequence as it is now, so that [`Cache::truncate`] can come
    /// back to here; what was saved before is given up. Returns `false` where no slot is left for
    /// it; a sequence without recurrent state needs none.
    pub fn save(&mut self, id: SeqId, copies: &mut Vec<CacheCopy>) -> Result<bool, CacheError> {
        let mut sequence = self.take(id)?;
        let is_saved = match sequence.slot {
            None => true,
            Some(from) => {
                let to = sequence.saved.map(|saved| saved.slot);
                let to = to.or_else(|| self.tree.take_slot(copies));
                let len = Some(sequence.len);
                sequence.saved = to.map(|slot| Saved { slot, len });
                copies.extend(to.map(|to| CacheCopy::Slot { from, to }));
                to.is_some()
            }
        };
        self.sequences[id.0 as usize] = Some(sequence);
        Ok(is_saved)
    }

    /// Forgets all tokens from `len` on. A recurrent state is only known where it was
    /// [saved](Cache::save): there, tokens before `len` are forgotten too, and are to be appended
    /// again. Returns the tokens that are left.
    ///
    /// # Errors
    /// [`CacheError::Forgotten`] where a window has already let go of what the next position attends
    /// to, or where a recurrent state was not saved at `len` or before.
    pub fn truncate(&mut self, id: SeqId, len: usize) -> Result<usize, CacheError> {
        let mut sequence = self.take(id)?;
        let result = self.truncated(&mut sequence, len);
        self.sequences[id.0 as usize] = Some(sequence);
        result
    }

    fn truncated(&mut self, sequence: &mut Sequence, len: usize) -> Result<usize, CacheError> {
        if len >= sequence.len {
            return Ok(sequence.len);
        }
        let saved = sequence.saved.and_then(|saved| saved.len);
        let to = match sequence.slot {
            None => Some(len),
            Some(_) => saved.filter(|&saved| saved <= len),
        };
        let is_held = |&to: &usize| {
            let mut groups = sequence.tables.iter().zip(&self.plan.groups);
            groups.all(|(table, group)| table.holds(to, group.window))
        };
        let to = to.filter(is_held).ok_or(CacheError::Forgotten {
            len: sequence.len,
            to: len,
        })?;
        if let (Some(slot), Some(saved)) = (&mut sequence.slot, &mut sequence.saved) {
            // The saved state is the present one again, and the other slot is free to be saved to.
            std::mem::swap(slot, &mut saved.slot);
            saved.len = None;
        }
        if let Some(past) = &mut sequence.past {
            self.roll_back(past, to);
        }
        for (group, table) in sequence.tables.iter_mut().enumerate() {
            table.truncate(group, to, &mut self.tree);
        }
        sequence.len = to;
        Ok(to)
    }

    /// Ends a sequence. What it alone held can be had again; of a sequence that was
    /// [opened](Cache::open) for a prompt, the computed tokens can be found until then.
    pub fn free(&mut self, id: SeqId) -> Result<(), CacheError> {
        let mut sequence = self.take(id)?;
        self.leave_behind(&mut sequence);
        for (group, table) in sequence.tables.iter_mut().enumerate() {
            table.truncate(group, 0, &mut self.tree);
        }
        let saved = sequence.saved.map(|saved| saved.slot);
        for slot in sequence.slot.into_iter().chain(saved) {
            self.tree.release_slot(slot);
        }
        if let Some(past) = sequence.past {
            self.tree.unpin(past.node);
        }
        Ok(())
    }

    /// Tokens that still fit into the fullest group, with everything evicted that can be.
    pub fn free_tokens(&self) -> usize {
        (0..self.tree.n_groups())
            .map(|group| self.tree.available(group))
            .min()
            .unwrap_or(usize::MAX / BLOCK_LEN)
            * BLOCK_LEN
    }

    fn take(&mut self, id: SeqId) -> Result<Sequence, CacheError> {
        self.sequences
            .get_mut(id.0 as usize)
            .and_then(Option::take)
            .ok_or(CacheError::Unknown(id))
    }

    fn blocks_needed(&self, sequence: &Sequence, group: usize, n: usize) -> usize {
        sequence.tables[group].blocks_needed(group, sequence.len, n, &self.tree)
    }

    fn check_room(&self, sequence: &Sequence, n: usize) -> Result<(), CacheError> {
        for group in 0..self.tree.n_groups() {
            let needed = self.blocks_needed(sequence, group, n);
            let free = self.tree.available(group);
            if needed > free {
                return Err(CacheError::Full { needed, free });
            }
        }
        Ok(())
    }

    fn take_slot(&mut self, copies: &mut Vec<CacheCopy>) -> Result<Option<u32>, CacheError> {
        if self.plan.recurrent.is_empty() {
            return Ok(None);
        }
        let slot = self.tree.take_slot(copies);
        slot.map(Some)
            .ok_or(CacheError::NoSlot(self.tree.n_slots()))
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

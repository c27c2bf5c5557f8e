//! What the backend's memory has no room for, and is kept elsewhere: blocks and recurrent states.

use std::collections::BTreeSet;

use super::Tree;
use crate::cache::{CacheCopy, pool::Pool, store::NONE};

/// Places for blocks of a group, or for states.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) pool: Pool,
    /// Nodes that may lose theirs, by when they were used last.
    pub(super) droppable: BTreeSet<(u64, u32)>,
}

impl Kept {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            pool: Pool::new(capacity),
            droppable: BTreeSet::new(),
        }
    }
}

impl Tree {
    /// Makes so many places, before anything is kept.
    pub(in crate::cache) fn keep_up_to(&mut self, n_blocks: usize, n_slots: usize) {
        self.kept.fill_with(|| Kept::new(n_blocks));
        self.kept_slots = Kept::new(n_slots);
    }

    /// Where the state after a node is kept.
    pub(in crate::cache) fn kept_snapshot(&self, id: u32) -> Option<u32> {
        self.node(id).kept_snapshot
    }

    /// Frees a block of a group: what was used least recently is kept elsewhere, or else forgotten.
    /// `None` where every block is held by a sequence.
    pub(super) fn make_room(&mut self, group: usize, copies: &mut Vec<CacheCopy>) -> Option<()> {
        let &(_, id) = self.groups[group].evictable.first()?;
        let Some(to) = self.take_place(group, id) else {
            return self.evict(group);
        };
        let node = self.node_mut(id);
        let from = std::mem::replace(&mut node.blocks[group], NONE);
        node.kept[group] = to;
        self.groups[group].drop_from_tree(from);
        copies.push(CacheCopy::KeepBlock { group, from, to });
        self.list(id);
        // It may be the last one of its path that is here.
        self.list(self.node(id).parent);
        // What made way for it may have been all that was of use below it.
        self.prune(id);
        Some(())
    }

    /// A place for a block of the node `id`, taken from what is kept and was used least recently if
    /// need be; `None` where there is none.
    fn take_place(&mut self, group: usize, id: u32) -> Option<u32> {
        if self.kept[group].pool.free() == 0 {
            let &(last_used, other) = self.kept[group].droppable.first()?;
            if last_used > self.node(id).last_used {
                return None;
            }
            // The node must outlive its children, of which this may be one.
            self.node_mut(id).pins += 1;
            let parent = match self.windows[group] {
                Some(_) => {
                    self.forget_kept(other, group);
                    self.list(other);
                    other
                }
                None => self.remove(other),
            };
            self.prune(parent);
            self.node_mut(id).pins -= 1;
        }
        self.kept[group].pool.take()
    }

    /// Takes a block for what a node has elsewhere, for a sequence that holds it then. The caller
    /// has counted the room.
    pub(in crate::cache) fn bring_back(
        &mut self,
        id: u32,
        group: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> u32 {
        let to = self.take(group, copies).expect("room was counted");
        let from = self.node(id).kept[group];
        copies.push(CacheCopy::RestoreBlock { group, from, to });
        self.restore(id, group, to);
        to
    }

    /// Moves a state elsewhere, if there is a place. Returns whether there was.
    pub(super) fn keep_snapshot(&mut self, id: u32, copies: &mut Vec<CacheCopy>) -> bool {
        if let (0, Some(&(_, other))) = (
            self.kept_slots.pool.free(),
            self.kept_slots.droppable.first(),
        ) {
            self.forget_kept_snapshot(other);
            self.list(other);
            // The node itself has a state, and is not pruned.
            self.prune(other);
        }
        let place = self.kept_slots.pool.take();
        if let (Some(to), Some(from)) = (place, self.node(id).snapshot) {
            self.node_mut(id).kept_snapshot = Some(to);
            copies.push(CacheCopy::KeepSlot { from, to });
            self.forget_snapshot(id);
        }
        place.is_some()
    }

    /// Gives the place of a node's block back, if it has one.
    pub(super) fn forget_kept(&mut self, id: u32, group: usize) {
        let place = std::mem::replace(&mut self.node_mut(id).kept[group], NONE);
        if place != NONE {
            self.kept[group].pool.release(place);
        }
    }

    /// Gives the place of a node's state back, if it has one.
    pub(super) fn forget_kept_snapshot(&mut self, id: u32) {
        if let Some(place) = self.node_mut(id).kept_snapshot.take() {
            self.kept_slots.pool.release(place);
        }
    }
}

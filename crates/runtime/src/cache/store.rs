//! The blocks of one group: who holds them, and which may be taken back.

use std::collections::BTreeSet;

use super::pool::Pool;

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// The blocks of a group, shared between sequences and the prefix tree.
#[derive(Debug)]
pub(super) struct Blocks {
    pool: Pool,
    /// The node of the tree that holds a block, by block; [`NONE`] or absent: no node does.
    nodes: Vec<u32>,
    /// Blocks that the tree alone holds.
    idle: usize,
    /// Nodes whose block may be taken back, by when they were used last.
    pub(super) evictable: BTreeSet<(u64, u32)>,
    /// More idle blocks than this are not worth their memory.
    pub(super) max_idle: usize,
}

impl Blocks {
    pub(super) fn new(capacity: usize, max_idle: usize) -> Self {
        Self {
            pool: Pool::new(capacity),
            nodes: Vec::new(),
            idle: 0,
            evictable: BTreeSet::new(),
            max_idle,
        }
    }

    /// Blocks that can be had: free ones, and those that only the tree keeps.
    pub(super) fn available(&self) -> usize {
        self.pool.free() + self.idle
    }

    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    /// Blocks that hold nothing.
    pub(super) fn free(&self) -> usize {
        self.pool.free()
    }

    pub(super) fn take(&mut self) -> Option<u32> {
        self.pool.take()
    }

    pub(super) fn is_shared(&self, block: u32) -> bool {
        self.pool.owners(block) > 1
    }

    /// Whether the tree holds the block and no sequence does.
    pub(super) fn is_idle(&self, block: u32) -> bool {
        self.node_of(block) != NONE && self.pool.owners(block) == 1
    }

    /// The node that holds a block, or [`NONE`].
    pub(super) fn node_of(&self, block: u32) -> u32 {
        self.nodes.get(block as usize).copied().unwrap_or(NONE)
    }

    /// A sequence takes part in a block.
    pub(super) fn share(&mut self, block: u32) {
        let was_idle = self.is_idle(block);
        self.pool.share(block);
        self.idle -= usize::from(was_idle);
    }

    /// A sequence lets go of a block; returns whether it is idle now.
    pub(super) fn release(&mut self, block: u32) -> bool {
        self.pool.release(block);
        let idle = self.is_idle(block);
        self.idle += usize::from(idle);
        idle
    }

    /// The tree takes part in a block that a sequence has filled.
    pub(super) fn keep(&mut self, block: u32, node: u32) {
        self.pool.share(block);
        if self.nodes.len() <= block as usize {
            self.nodes.resize(block as usize + 1, NONE);
        }
        self.nodes[block as usize] = node;
    }

    /// The tree lets go of a block.
    pub(super) fn drop_from_tree(&mut self, block: u32) {
        self.idle -= usize::from(self.is_idle(block));
        self.nodes[block as usize] = NONE;
        self.pool.release(block);
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.pool.capacity()
    }

    #[cfg(test)]
    pub(super) fn owners(&self, block: u32) -> u32 {
        self.pool.owners(block)
    }
}

//! The prefix index: a tree of blocks, found again by the tokens in them.
//!
//! A path from a root spells a text, [`BLOCK_LEN`] tokens a node; a leaf may hold fewer. Nodes are
//! compared token by token, so there is nothing that could collide. A node keeps its blocks alive
//! after the sequences that filled them are gone, until blocks are needed: then the least recently
//! used one goes, leaves before their parents, and never one that a sequence holds. Where a window
//! has passed, a node may lack the block of that group while it still has the others.
//!
//! A block that is taken back is [kept](kept) elsewhere where there is room. In a group without a
//! window, all that hangs below a node whose block is elsewhere is elsewhere too.

#[cfg(test)]
mod check;
mod evict;
mod find;
mod kept;

pub(in crate::cache) use find::Found;

use std::collections::BTreeSet;

use super::{
    BLOCK_LEN, CacheCopy, KvGroup,
    pool::Pool,
    store::{Blocks, NONE},
};
use kept::Kept;

/// Some tokens and where their keys, values and state are.
#[derive(Debug)]
pub(in crate::cache) struct Node {
    parent: u32,
    children: Vec<u32>,
    /// Sequences that are at this node: all their tokens but the last few end here.
    pins: u32,
    last_used: u64,
    /// Keys of one announced length cannot be compared with those of another.
    planned_len: usize,
    /// Whole blocks up to and without this one.
    pub(in crate::cache) depth: usize,
    n_tokens: usize,
    tokens: [u32; BLOCK_LEN],
    /// By group; [`NONE`] where a window has let go.
    blocks: Box<[u32]>,
    /// By group: where a block is kept elsewhere; [`NONE`] where none is.
    kept: Box<[u32]>,
    /// The recurrent state after the node's last token.
    snapshot: Option<u32>,
    /// The same, where it is kept elsewhere.
    kept_snapshot: Option<u32>,
}

impl Node {
    pub(in crate::cache) fn tokens(&self) -> &[u32] {
        &self.tokens[..self.n_tokens]
    }

    /// Whether the recurrent state after it is anywhere.
    fn has_state(&self) -> bool {
        self.snapshot.or(self.kept_snapshot).is_some()
    }
}

/// All nodes, and the pools that their blocks come from.
#[derive(Debug)]
pub(in crate::cache) struct Tree {
    nodes: Vec<Option<Node>>,
    vacant: Vec<u32>,
    roots: Vec<u32>,
    groups: Vec<Blocks>,
    windows: Vec<Option<usize>>,
    slots: Pool,
    /// Nodes with a snapshot, by when they were used last.
    snapshots: BTreeSet<(u64, u32)>,
    /// What is elsewhere: blocks by group, and states.
    kept: Vec<Kept>,
    kept_slots: Kept,
    is_recurrent: bool,
    clock: u64,
}

impl Tree {
    /// A tree over `n_blocks` blocks in each group and `n_slots` recurrent states. Of blocks that a
    /// window has passed it keeps what `max_sequences` windows would.
    pub(in crate::cache) fn new(
        groups: &[KvGroup],
        n_blocks: usize,
        n_slots: usize,
        max_sequences: usize,
    ) -> Self {
        let idle = |window: usize| max_sequences * (window.div_ceil(BLOCK_LEN) + 1);
        let blocks = |group: &KvGroup| Blocks::new(n_blocks, group.window.map_or(usize::MAX, idle));
        Self {
            nodes: Vec::new(),
            vacant: Vec::new(),
            roots: Vec::new(),
            groups: groups.iter().map(blocks).collect(),
            windows: groups.iter().map(|group| group.window).collect(),
            slots: Pool::new(n_slots),
            snapshots: BTreeSet::new(),
            kept: groups.iter().map(|_| Kept::new(0)).collect(),
            kept_slots: Kept::new(0),
            is_recurrent: n_slots > 0,
            clock: 0,
        }
    }

    // Blocks and slots.

    /// A block that nobody else holds, taken from the least recently used prefix if need be.
    pub(in crate::cache) fn take(
        &mut self,
        group: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> Option<u32> {
        while self.groups[group].free() == 0 {
            self.make_room(group, copies)?;
        }
        self.groups[group].take()
    }

    pub(in crate::cache) fn share(&mut self, group: usize, block: u32) {
        self.groups[group].share(block);
        self.list(self.groups[group].node_of(block));
    }

    pub(in crate::cache) fn release(&mut self, group: usize, block: u32) {
        if !self.groups[group].release(block) {
            return;
        }
        self.touch(self.groups[group].node_of(block));
        while self.groups[group].idle() > self.groups[group].max_idle {
            if self.evict(group).is_none() {
                break;
            }
        }
    }

    pub(in crate::cache) fn is_shared(&self, group: usize, block: u32) -> bool {
        self.groups[group].is_shared(block)
    }

    /// Blocks that can be had, counting those that would have to be evicted.
    pub(in crate::cache) fn available(&self, group: usize) -> usize {
        self.groups[group].available()
    }

    pub(in crate::cache) fn n_groups(&self) -> usize {
        self.groups.len()
    }

    pub(in crate::cache) fn window(&self, group: usize) -> Option<usize> {
        self.windows[group]
    }

    /// Whether sequences hold the block of a node.
    pub(in crate::cache) fn is_in_use(&self, id: u32, group: usize) -> bool {
        self.block(id, group)
            .is_some_and(|block| !self.groups[group].is_idle(block))
    }

    /// A slot that nobody else holds, taken from the least recently used snapshot if need be.
    pub(in crate::cache) fn take_slot(&mut self, copies: &mut Vec<CacheCopy>) -> Option<u32> {
        if let (0, Some(&(_, node))) = (self.slots.free(), self.snapshots.first())
            && !self.keep_snapshot(node, copies)
        {
            self.forget_snapshot(node);
            self.prune(node);
        }
        self.slots.take()
    }

    pub(in crate::cache) fn release_slot(&mut self, slot: u32) {
        self.slots.release(slot);
    }

    pub(in crate::cache) fn n_slots(&self) -> usize {
        self.slots.capacity()
    }

    // Nodes.

    pub(in crate::cache) fn node(&self, id: u32) -> &Node {
        self.nodes[id as usize].as_ref().expect("a node in use")
    }

    fn node_mut(&mut self, id: u32) -> &mut Node {
        self.nodes[id as usize].as_mut().expect("a node in use")
    }

    /// Tokens up to the end of a node.
    pub(in crate::cache) fn len_at(&self, id: u32) -> usize {
        match id {
            NONE => 0,
            id => self.node(id).depth * BLOCK_LEN + self.node(id).n_tokens,
        }
    }

    pub(in crate::cache) fn parent(&self, id: u32) -> u32 {
        self.node(id).parent
    }

    pub(in crate::cache) fn block(&self, id: u32, group: usize) -> Option<u32> {
        Some(self.node(id).blocks[group]).filter(|&block| block != NONE)
    }

    pub(in crate::cache) fn snapshot(&self, id: u32) -> Option<u32> {
        self.node(id).snapshot
    }

    /// Keeps a node, and with it its parents, from being taken away.
    pub(in crate::cache) fn pin(&mut self, id: u32) {
        if id != NONE {
            self.node_mut(id).pins += 1;
            self.touch(id);
        }
    }

    pub(in crate::cache) fn unpin(&mut self, id: u32) {
        if id != NONE {
            self.node_mut(id).pins -= 1;
            self.touch(id);
            self.prune(id);
        }
    }

    fn children(&self, parent: u32) -> &[u32] {
        match parent {
            NONE => &self.roots,
            parent => &self.node(parent).children,
        }
    }

    fn children_mut(&mut self, parent: u32) -> &mut Vec<u32> {
        match parent {
            NONE => &mut self.roots,
            parent => &mut self.node_mut(parent).children,
        }
    }

    /// Hangs a node below `parent`; the tree takes part in the blocks, which a sequence holds.
    pub(in crate::cache) fn insert(
        &mut self,
        parent: u32,
        planned_len: usize,
        tokens: &[u32],
        blocks: Box<[u32]>,
    ) -> u32 {
        let mut stored = [0; BLOCK_LEN];
        stored[..tokens.len()].copy_from_slice(tokens);
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            u32::try_from(self.nodes.len() - 1).expect("fewer nodes than u32::MAX")
        });
        for (group, &block) in self.groups.iter_mut().zip(&blocks) {
            if block != NONE {
                group.keep(block, id);
            }
        }
        let depth = match parent {
            NONE => 0,
            parent => self.node(parent).depth + 1,
        };
        self.nodes[id as usize] = Some(Node {
            parent,
            children: Vec::new(),
            pins: 0,
            last_used: 0,
            planned_len,
            depth,
            n_tokens: tokens.len(),
            tokens: stored,
            kept: vec![NONE; blocks.len()].into(),
            blocks,
            snapshot: None,
            kept_snapshot: None,
        });
        self.children_mut(parent).push(id);
        // A parent is no leaf any more.
        self.list(parent);
        self.touch(id);
        id
    }

    /// Gives a node the block of a group whose window had let go of its own.
    pub(in crate::cache) fn restore(&mut self, id: u32, group: usize, block: u32) {
        self.groups[group].keep(block, id);
        self.node_mut(id).blocks[group] = block;
        self.forget_kept(id, group);
        self.touch(id);
        self.list(self.node(id).parent);
    }

    /// Keeps a slot as the state after a node. The tree owns the slot from now on.
    pub(in crate::cache) fn set_snapshot(&mut self, id: u32, slot: u32) {
        self.node_mut(id).snapshot = Some(slot);
        self.forget_kept_snapshot(id);
        self.touch(id);
    }

    /// Unpins a node and takes it away if nobody else uses it.
    pub(in crate::cache) fn abandon(&mut self, id: u32) {
        self.node_mut(id).pins -= 1;
        if self.is_unused_leaf(id) {
            let parent = self.remove(id);
            self.prune(parent);
        }
    }

    /// Whether a node holds this block.
    pub(in crate::cache) fn is_kept(&self, group: usize, block: u32) -> bool {
        block != NONE && self.groups[group].node_of(block) != NONE
    }

    /// Forgets partly filled leaves below `parent` that say less than `tokens` does.
    pub(in crate::cache) fn absorb(&mut self, parent: u32, planned_len: usize, tokens: &[u32]) {
        let covered = |&child: &u32| {
            let node = self.node(child);
            let shorter = node.n_tokens < tokens.len() && tokens.starts_with(node.tokens());
            shorter && node.planned_len == planned_len && self.is_unused_leaf(child)
        };
        if let Some(child) = self.children(parent).iter().copied().find(covered) {
            self.remove(child);
        }
    }
}

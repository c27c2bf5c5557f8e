//! What goes when blocks are needed, and in which order.

use super::Tree;
use crate::cache::store::NONE;

impl Tree {
    /// Frees one block of a group at least; `None` where every block is held by a sequence.
    pub(super) fn evict(&mut self, group: usize) -> Option<()> {
        let (_, id) = *self.groups[group].evictable.first()?;
        let parent = if self.windows[group].is_some() {
            let block = std::mem::replace(&mut self.node_mut(id).blocks[group], NONE);
            self.groups[group].drop_from_tree(block);
            self.list(id);
            id
        } else {
            self.remove(id)
        };
        self.prune(parent);
        Some(())
    }

    pub(super) fn touch(&mut self, id: u32) {
        self.clock += 1;
        let now = self.clock;
        self.unlist(id);
        self.node_mut(id).last_used = now;
        self.list(id);
    }

    pub(super) fn unlist(&mut self, id: u32) {
        let key = (self.node(id).last_used, id);
        for group in &mut self.groups {
            group.evictable.remove(&key);
        }
        self.snapshots.remove(&key);
    }

    /// Puts a node into the lists that it belongs to now, and takes it out of the others.
    pub(super) fn list(&mut self, id: u32) {
        if id == NONE {
            return;
        }
        self.unlist(id);
        let node = self.nodes[id as usize].as_ref().expect("a node in use");
        let key = (node.last_used, id);
        let is_leaf = node.children.is_empty() && node.pins == 0;
        for ((group, window), &block) in
            self.groups.iter_mut().zip(&self.windows).zip(&*node.blocks)
        {
            if block != NONE && group.is_idle(block) && (window.is_some() || is_leaf) {
                group.evictable.insert(key);
            }
        }
        if node.snapshot.is_some() {
            self.snapshots.insert(key);
        }
    }

    pub(super) fn forget_snapshot(&mut self, id: u32) {
        if let Some(slot) = self.node_mut(id).snapshot.take() {
            self.slots.release(slot);
            self.list(id);
        }
    }

    pub(super) fn is_unused_leaf(&self, id: u32) -> bool {
        let node = self.node(id);
        node.children.is_empty() && node.pins == 0
    }

    /// Takes leaves away that no prompt could use, from `id` upwards.
    pub(super) fn prune(&mut self, mut id: u32) {
        while id != NONE && self.is_unused_leaf(id) {
            let node = self.node(id);
            let is_useful = match self.is_recurrent {
                true => node.snapshot.is_some(),
                false => node.blocks.iter().any(|&block| block != NONE),
            };
            if is_useful {
                return;
            }
            id = self.remove(id);
        }
    }

    /// Takes a leaf out of the tree; returns its parent, which is no older than it was.
    pub(super) fn remove(&mut self, id: u32) -> u32 {
        self.unlist(id);
        let node = self.nodes[id as usize].take().expect("a node in use");
        self.vacant.push(id);
        for (group, &block) in self.groups.iter_mut().zip(&node.blocks) {
            if block != NONE {
                group.drop_from_tree(block);
            }
        }
        if let Some(slot) = node.snapshot {
            self.slots.release(slot);
        }
        self.children_mut(node.parent).retain(|&child| child != id);
        if node.parent != NONE {
            self.unlist(node.parent);
            let parent = self.node_mut(node.parent);
            parent.last_used = parent.last_used.max(node.last_used);
            self.list(node.parent);
        }
        node.parent
    }
}

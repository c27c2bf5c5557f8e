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
            self.remove_branch(id)
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
        for (group, kept) in self.groups.iter_mut().zip(&mut self.kept) {
            group.evictable.remove(&key);
            kept.droppable.remove(&key);
        }
        self.snapshots.remove(&key);
        self.kept_slots.droppable.remove(&key);
    }

    /// Puts a node into the lists that it belongs to now, and takes it out of the others.
    pub(super) fn list(&mut self, id: u32) {
        if id == NONE {
            return;
        }
        self.unlist(id);
        let node = self.nodes[id as usize].as_ref().expect("a node in use");
        let key = (node.last_used, id);
        let is_free = node.pins == 0;
        for (group, window) in self.windows.iter().enumerate() {
            let is_there = |&child: &u32| self.node(child).blocks[group] != NONE;
            let is_last = || is_free && !node.children.iter().any(is_there);
            let block = node.blocks[group];
            if block != NONE && self.groups[group].is_idle(block) && (window.is_some() || is_last())
            {
                self.groups[group].evictable.insert(key);
            }
            let is_last = window.is_some() || node.children.is_empty();
            if node.kept[group] != NONE && is_free && is_last {
                self.kept[group].droppable.insert(key);
            }
        }
        if node.snapshot.is_some() {
            self.snapshots.insert(key);
        }
        if node.kept_snapshot.is_some() && is_free {
            self.kept_slots.droppable.insert(key);
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
        while id != NONE && self.is_unused_leaf(id) && !self.is_useful(id) {
            id = self.remove(id);
        }
    }

    /// Whether a prompt could use what ends here.
    pub(super) fn is_useful(&self, id: u32) -> bool {
        let node = self.node(id);
        match self.is_recurrent {
            true => node.has_state(),
            false => node.blocks.iter().chain(&node.kept).any(|&at| at != NONE),
        }
    }

    /// Takes a node out of the tree, with all that hangs below it; returns its parent.
    fn remove_branch(&mut self, id: u32) -> u32 {
        let mut at = id;
        loop {
            match self.node(at).children.last() {
                Some(&child) => at = child,
                None => {
                    let parent = self.remove(at);
                    if at == id {
                        return parent;
                    }
                    at = parent;
                }
            }
        }
    }

    /// Takes a leaf out of the tree; returns its parent, which is no older than it was.
    pub(super) fn remove(&mut self, id: u32) -> u32 {
        self.unlist(id);
        (0..self.groups.len()).for_each(|group| self.forget_kept(id, group));
        self.forget_kept_snapshot(id);
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

//! The tree's counts against its nodes.

use std::collections::{HashMap, HashSet};

use super::Tree;
use crate::cache::store::NONE;

impl Tree {
    /// Checks every count against the nodes and the tables of the sequences, `(group, block)` each.
    pub(in crate::cache) fn check(&self, held: &[(usize, u32)], slots_held: usize) {
        let mut owners: HashMap<(usize, u32), u32> = HashMap::new();
        let mut in_tree = owners.clone();
        held.iter()
            .for_each(|&key| *owners.entry(key).or_default() += 1);
        let mut n_snapshots = 0;
        for (id, node) in self.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            for (group, &block) in node.blocks.iter().enumerate() {
                if block != NONE {
                    *in_tree.entry((group, block)).or_default() += 1;
                    assert_eq!(self.groups[group].node_of(block), id as u32);
                }
            }
            n_snapshots += usize::from(node.snapshot.is_some());
            let id = id as u32;
            assert!(
                !self.is_unused_leaf(id) || self.is_useful(id),
                "a leaf is of use"
            );
            let siblings = self.children(node.parent);
            assert_eq!(siblings.iter().filter(|&&child| child == id).count(), 1);
        }
        assert!(in_tree.values().all(|&n| n == 1), "a block has one node");
        for (group, blocks) in self.groups.iter().enumerate() {
            let idle = in_tree
                .keys()
                .filter(|key| key.0 == group && !owners.contains_key(key));
            let (idle, evictable) = (idle.count(), blocks.evictable.len());
            assert_eq!(blocks.idle(), idle, "idle blocks of group {group}");
            assert!(evictable <= idle && (evictable > 0) == (idle > 0));
            let in_use: HashSet<_> = owners
                .keys()
                .chain(in_tree.keys())
                .filter(|key| key.0 == group)
                .collect();
            assert_eq!(
                blocks.free() + in_use.len(),
                blocks.capacity(),
                "group {group}"
            );
            for key in in_use {
                let expected =
                    owners.get(key).copied().unwrap_or(0) + in_tree.get(key).copied().unwrap_or(0);
                assert_eq!(blocks.owners(key.1), expected, "block {key:?}");
            }
        }
        assert_eq!(
            self.slots.free() + n_snapshots + slots_held,
            self.slots.capacity()
        );
        assert_eq!(self.snapshots.len(), n_snapshots);
        self.check_kept();
    }

    /// The same for what is kept elsewhere.
    fn check_kept(&self) {
        let nodes = || self.nodes.iter().flatten();
        for (group, kept) in self.kept.iter().enumerate() {
            let mut places = HashSet::new();
            for node in nodes().filter(|node| node.kept[group] != NONE) {
                assert!(places.insert(node.kept[group]), "a place holds one block");
                assert_eq!(node.blocks[group], NONE, "a block is here or elsewhere");
                let children = node.children.iter().map(|&child| self.node(child));
                let here = children.filter(|child| child.blocks[group] != NONE);
                assert!(self.windows[group].is_some() || here.count() == 0);
            }
            assert_eq!(kept.pool.free() + places.len(), kept.pool.capacity());
            assert!(kept.droppable.len() <= places.len());
        }
        let n_states = nodes().filter(|node| node.kept_snapshot.is_some()).count();
        let slots = &self.kept_slots;
        assert_eq!(slots.pool.free() + n_states, slots.pool.capacity());
        assert!(slots.droppable.len() <= n_states);
    }
}

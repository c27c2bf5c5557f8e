//! Between sequences and the prefix tree: what is shared, entered, left behind and rolled back.

use super::{
    BLOCK_LEN, BlockTable, Cache, CacheCopy, Sequence, sequence::Past, store::NONE,
    table::first_block,
};

impl Cache {
    /// Tables over the blocks of the path that ends in `end`, for a sequence of `len` tokens.
    pub(super) fn shared_tables(&mut self, end: u32, len: usize) -> Vec<BlockTable> {
        let mut path = Vec::new();
        let mut node = end;
        while node != NONE {
            path.push(node);
            node = self.tree.parent(node);
        }
        path.reverse();
        let n_groups = self.tree.n_groups();
        let table = |group: usize| {
            let first = first_block(self.tree.window(group), len).min(path.len());
            let blocks = path[first..]
                .iter()
                .map(|&node| self.tree.block(node, group).expect("a resumable path"));
            let table = BlockTable::with_blocks(first, blocks.collect());
            table
                .blocks()
                .iter()
                .for_each(|&block| self.tree.share(group, block));
            table
        };
        (0..n_groups).map(table).collect()
    }

    /// Moves whole blocks from a sequence's tail into the tree.
    pub(super) fn enter_whole_blocks(&mut self, sequence: &mut Sequence) {
        let Some(past) = &mut sequence.past else {
            return;
        };
        let mut entered = 0;
        while let Some(tokens) = past.tail[entered..].get(..BLOCK_LEN) {
            let child = self.tree.child(past.node, sequence.planned_len, tokens);
            let index = self.tree.len_at(past.node) / BLOCK_LEN;
            let node = match child {
                Some(node) => {
                    self.adopt(&mut sequence.tables, node, index);
                    node
                }
                None => {
                    let blocks = held_blocks(&sequence.tables, index);
                    self.tree.absorb(past.node, sequence.planned_len, tokens);
                    self.tree
                        .insert(past.node, sequence.planned_len, tokens, blocks)
                }
            };
            self.tree.pin(node);
            self.tree.unpin(past.node);
            past.node = node;
            entered += BLOCK_LEN;
        }
        past.tail.drain(..entered);
    }

    /// Uses the blocks of a node that spells the same text in place of the sequence's own.
    fn adopt(&mut self, tables: &mut [BlockTable], node: u32, index: usize) {
        // The node must outlive what giving back the own blocks may evict.
        self.tree.pin(node);
        for (group, table) in tables.iter_mut().enumerate() {
            match (table.get(index), self.tree.block(node, group)) {
                (Some(own), None) => self.tree.restore(node, group, own),
                (Some(own), Some(theirs)) if own != theirs => {
                    self.tree.share(group, theirs);
                    table.set(index, theirs);
                    self.tree.release(group, own);
                }
                _ => {}
            }
        }
        self.tree.unpin(node);
    }

    /// Keeps the recurrent state of a sequence whose last token ends a block.
    pub(super) fn snapshot(&mut self, sequence: &Sequence, copies: &mut Vec<CacheCopy>) {
        let (Some(past), Some(from)) = (&sequence.past, sequence.slot) else {
            return;
        };
        let ends_here = past.tail.is_empty() && past.node != NONE;
        if !ends_here || self.tree.snapshot(past.node).is_some() {
            return;
        }
        if let Some(to) = self.tree.take_slot() {
            copies.push(CacheCopy::Slot { from, to });
            self.tree.set_snapshot(past.node, to);
        }
    }

    /// Leaves the end of a sequence in the tree: a block that is partly filled, and the state.
    pub(super) fn leave_behind(&mut self, sequence: &mut Sequence) {
        let Some(past) = &mut sequence.past else {
            return;
        };
        let computed = self.tree.len_at(past.node) + past.tail.len();
        if computed != sequence.len || computed == 0 {
            // Tokens that were appended but not computed: the last block holds no one knows what.
            return;
        }
        let mut end = past.node;
        if !past.tail.is_empty() {
            let known = self.tree.child(end, sequence.planned_len, &past.tail);
            end = known.unwrap_or_else(|| {
                let blocks = held_blocks(&sequence.tables, computed / BLOCK_LEN);
                // A block that the tree holds elsewhere has one node already.
                let taken = |(group, &block): (usize, &u32)| self.tree.is_kept(group, block);
                match blocks.iter().enumerate().any(taken) {
                    true => NONE,
                    false => self
                        .tree
                        .insert(end, sequence.planned_len, &past.tail, blocks),
                }
            });
        }
        if end != NONE
            && self.tree.snapshot(end).is_none()
            && let Some(slot) = sequence.slot.take()
        {
            self.tree.set_snapshot(end, slot);
        }
    }

    /// Takes the last tokens out of a sequence's past. What is rolled back is forgotten, unless
    /// somebody else uses it.
    pub(super) fn roll_back(&mut self, past: &mut Past, len: usize) {
        while self.tree.len_at(past.node) > len {
            let node = past.node;
            let parent = self.tree.parent(node);
            let start = self.tree.len_at(parent);
            past.tail.clear();
            if len > start {
                let tokens = self.tree.node(node).tokens();
                past.tail.extend_from_slice(&tokens[..len - start]);
            }
            self.tree.pin(parent);
            past.node = parent;
            self.tree.abandon(node);
        }
        past.tail.truncate(len - self.tree.len_at(past.node));
    }
}

/// The block of each group at a place in the sequence; [`NONE`] where it has been let go.
fn held_blocks(tables: &[BlockTable], index: usize) -> Box<[u32]> {
    let block = |table: &BlockTable| table.get(index).unwrap_or(NONE);
    tables.iter().map(block).collect()
}

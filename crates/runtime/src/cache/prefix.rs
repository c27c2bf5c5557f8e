//! Between sequences and the prefix tree: what is shared, entered, left behind and rolled back.

use super::{
    BLOCK_LEN, BlockTable, Cache, CacheCopy, Room, Sequence, sequence::Past, store::NONE,
    table::first_block, tree::Found,
};

impl Cache {
    /// What there is of the beginning of a prompt, but for its last token. What is kept elsewhere
    /// counts where there is room to bring it back.
    pub(super) fn find(&self, prompt: &[u32], planned_len: usize) -> Found {
        let prompt = &prompt[..prompt.len().saturating_sub(1)];
        let found = self.tree.find(prompt, planned_len, true);
        let path = self.tree.path(found.end());
        let has_room = (0..self.tree.n_groups()).all(|group| {
            let own = self.needed_path(&path, group, found.len);
            let is_here = own
                .iter()
                .all(|&node| self.tree.block(node, group).is_some());
            // Idle blocks of the path are no longer to be had when it is used.
            let in_use = own.iter().filter(|&&node| self.tree.is_in_use(node, group));
            is_here || own.len() - in_use.count() <= self.tree.available(group)
        });
        match has_room {
            true => found,
            false => self.tree.find(prompt, planned_len, false),
        }
    }

    /// Whether a sequence that [`Cache::open`] would open for `prompt`, or [`Cache::start`] where it
    /// `is_apart`, has room for the prompt and `n_more` tokens beside what `room` has been promised.
    pub fn fits_new(
        &self,
        room: &Room,
        (prompt, planned_len, is_apart): (&[u32], usize, bool),
        n_more: usize,
    ) -> bool {
        let found = match is_apart {
            true => Found::NOTHING,
            false => self.find(prompt, planned_len),
        };
        let needed = (prompt.len() + n_more).div_ceil(BLOCK_LEN);
        let path = self.tree.path(found.end());
        (0..self.tree.n_groups()).all(|group| {
            let own = self.needed_path(&path, group, found.len);
            // A block of which only the first tokens are used is copied when the next one comes.
            let copied = usize::from(!found.len.is_multiple_of(BLOCK_LEN));
            let held = own.iter().filter(|&&node| self.tree.is_in_use(node, group));
            let needed = needed - (path.len() - own.len()) - held.count() + copied;
            let taken = room.taken.get(group).copied().unwrap_or(0);
            taken + needed <= self.tree.available(group)
        })
    }

    /// The nodes of a path whose blocks a sequence of `len` tokens needs in a group.
    pub(super) fn needed_path<'a>(&self, path: &'a [u32], group: usize, len: usize) -> &'a [u32] {
        &path[first_block(self.tree.window(group), len).min(path.len())..]
    }

    /// Tables over the blocks of the path that ends in `end`, for a sequence of `len` tokens.
    pub(super) fn shared_tables(
        &mut self,
        end: u32,
        len: usize,
        copies: &mut Vec<CacheCopy>,
    ) -> Vec<BlockTable> {
        let path = self.tree.path(end);
        // What is here first: nothing of it may go when room is made for what is kept elsewhere.
        path.iter().for_each(|&node| self.tree.pin(node));
        for group in 0..self.tree.n_groups() {
            for &node in self.needed_path(&path, group, len) {
                if let Some(block) = self.tree.block(node, group) {
                    self.tree.share(group, block);
                }
            }
        }
        let mut tables = Vec::with_capacity(self.tree.n_groups());
        for group in 0..self.tree.n_groups() {
            let own = self.needed_path(&path, group, len);
            let blocks = own.iter().map(|&node| match self.tree.block(node, group) {
                Some(block) => block,
                None => self.tree.bring_back(node, group, copies),
            });
            let blocks = blocks.collect();
            tables.push(BlockTable::with_blocks(path.len() - own.len(), blocks));
        }
        path.iter().for_each(|&node| self.tree.unpin(node));
        tables
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
                    // It must outlive what giving back the own blocks may evict.
                    self.tree.pin(node);
                    self.adopt(&mut sequence.tables, node, index);
                    node
                }
                None => {
                    let blocks = held_blocks(&sequence.tables, index);
                    self.tree.absorb(past.node, sequence.planned_len, tokens);
                    let node = self
                        .tree
                        .insert(past.node, sequence.planned_len, tokens, blocks);
                    self.tree.pin(node);
                    node
                }
            };
            self.tree.unpin(past.node);
            past.node = node;
            entered += BLOCK_LEN;
        }
        past.tail.drain(..entered);
    }

    /// Uses the blocks of a node that spells the same text in place of the sequence's own.
    fn adopt(&mut self, tables: &mut [BlockTable], node: u32, index: usize) {
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
        if let Some(to) = self.tree.take_slot(copies) {
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

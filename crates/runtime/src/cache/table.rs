//! The blocks of one sequence in one group of layers.

use super::{BLOCK_LEN, CacheCopy, tree::Tree};

/// Which block holds which positions. Blocks before the window have been let go.
#[derive(Debug, Clone, Default)]
pub struct BlockTable {
    /// Blocks that were dropped at the front.
    dropped: usize,
    blocks: Vec<u32>,
}

impl BlockTable {
    /// A table that holds nothing before block `dropped`, and these blocks from there on.
    pub(super) fn with_blocks(dropped: usize, blocks: Vec<u32>) -> Self {
        Self { dropped, blocks }
    }

    /// The blocks still held, in order of position.
    pub fn blocks(&self) -> &[u32] {
        &self.blocks
    }

    /// The first position that is still held.
    pub fn first_position(&self) -> usize {
        self.dropped * BLOCK_LEN
    }

    /// The block and the place inside it of a position that is held.
    pub fn locate(&self, position: usize) -> (u32, usize) {
        (
            self.blocks[position / BLOCK_LEN - self.dropped],
            position % BLOCK_LEN,
        )
    }

    /// The block with this place in the sequence, if it is still held.
    pub(super) fn get(&self, index: usize) -> Option<u32> {
        self.blocks.get(index.checked_sub(self.dropped)?).copied()
    }

    /// Puts another block of the same content into a place that is held.
    pub(super) fn set(&mut self, index: usize, block: u32) {
        self.blocks[index - self.dropped] = block;
    }

    /// Blocks that appending `n` tokens to a sequence of `len` takes, copies included.
    pub(super) fn blocks_needed(&self, group: usize, len: usize, n: usize, tree: &Tree) -> usize {
        let wanted = (len + n).div_ceil(BLOCK_LEN) - self.dropped;
        wanted - self.blocks.len()
            + usize::from(n > 0 && self.shared_tail(group, len, tree).is_some())
    }

    /// Grows the table by `n` tokens. The caller has checked that there is room.
    pub(super) fn append(
        &mut self,
        group: usize,
        len: usize,
        n: usize,
        tree: &mut Tree,
        copies: &mut Vec<CacheCopy>,
    ) {
        if let Some(tail) = self.shared_tail(group, len, tree) {
            let to = tree.take(group, copies).expect("room was checked");
            let from = std::mem::replace(&mut self.blocks[tail], to);
            tree.release(group, from);
            copies.push(CacheCopy::Block { group, from, to });
        }
        while (self.dropped + self.blocks.len()) * BLOCK_LEN < len + n {
            let block = tree.take(group, copies).expect("room was checked");
            self.blocks.push(block);
        }
        let keep_from = first_block(tree.window(group), len);
        let drop = keep_from.saturating_sub(self.dropped);
        self.blocks
            .drain(..drop)
            .for_each(|block| tree.release(group, block));
        self.dropped += drop;
    }

    /// Whether every position that a token at `len` attends to is still held.
    pub(super) fn holds(&self, len: usize, window: Option<usize>) -> bool {
        let first_seen = window.map_or(0, |window| (len + 1).saturating_sub(window));
        first_seen >= self.first_position()
    }

    pub(super) fn truncate(&mut self, group: usize, len: usize, tree: &mut Tree) {
        let keep = len.div_ceil(BLOCK_LEN).saturating_sub(self.dropped);
        self.blocks
            .drain(keep.min(self.blocks.len())..)
            .for_each(|block| tree.release(group, block));
        if self.blocks.is_empty() {
            self.dropped = len / BLOCK_LEN;
        }
    }

    /// The last block, if it is partly filled and somebody else holds it too.
    fn shared_tail(&self, group: usize, len: usize, tree: &Tree) -> Option<usize> {
        let tail = (len / BLOCK_LEN).checked_sub(self.dropped)?;
        (!len.is_multiple_of(BLOCK_LEN) && tree.is_shared(group, self.blocks[tail])).then_some(tail)
    }
}

/// The first block that a sequence of `len` tokens still needs: its next token, at position `len`,
/// sees `window - 1` before itself.
pub(super) fn first_block(window: Option<usize>, len: usize) -> usize {
    window.map_or(0, |window| (len + 1).saturating_sub(window) / BLOCK_LEN)
}

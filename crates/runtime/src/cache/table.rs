//! The blocks of one sequence in one group of layers.

use super::{BLOCK_LEN, CacheCopy, pool::Pool};

/// Which block holds which positions. Blocks before the window have been let go.
#[derive(Debug, Clone, Default)]
pub struct BlockTable {
    /// Blocks that were dropped at the front.
    dropped: usize,
    blocks: Vec<u32>,
}

impl BlockTable {
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

    /// Free blocks that appending `n` tokens to a sequence of `len` takes, copies included.
    pub(super) fn blocks_needed(&self, len: usize, n: usize, pool: &Pool) -> usize {
        let wanted = (len + n).div_ceil(BLOCK_LEN) - self.dropped;
        wanted - self.blocks.len() + usize::from(n > 0 && self.shared_tail(len, pool).is_some())
    }

    /// Grows the table by `n` tokens. The caller has checked that the pool has room.
    pub(super) fn append(
        &mut self,
        group: usize,
        len: usize,
        n: usize,
        window: Option<usize>,
        pool: &mut Pool,
        copies: &mut Vec<CacheCopy>,
    ) {
        if let Some(tail) = self.shared_tail(len, pool) {
            let to = pool.take().expect("room was checked");
            let from = std::mem::replace(&mut self.blocks[tail], to);
            pool.release(from);
            copies.push(CacheCopy::Block { group, from, to });
        }
        while (self.dropped + self.blocks.len()) * BLOCK_LEN < len + n {
            self.blocks.push(pool.take().expect("room was checked"));
        }
        if let Some(window) = window {
            // The first of the new tokens, at position `len`, still sees `window - 1` before it.
            let keep_from = (len + 1).saturating_sub(window) / BLOCK_LEN;
            let drop = keep_from.saturating_sub(self.dropped);
            self.blocks
                .drain(..drop)
                .for_each(|block| pool.release(block));
            self.dropped += drop;
        }
    }

    /// Whether every position that a token at `len` attends to is still held.
    pub(super) fn holds(&self, len: usize, window: Option<usize>) -> bool {
        let first_seen = window.map_or(0, |window| (len + 1).saturating_sub(window));
        first_seen >= self.first_position()
    }

    pub(super) fn truncate(&mut self, len: usize, pool: &mut Pool) {
        let keep = len.div_ceil(BLOCK_LEN).saturating_sub(self.dropped);
        self.blocks
            .drain(keep.min(self.blocks.len())..)
            .for_each(|block| pool.release(block));
        if self.blocks.is_empty() {
            self.dropped = len / BLOCK_LEN;
        }
    }

    /// The last block, if it is partly filled and somebody else holds it too.
    fn shared_tail(&self, len: usize, pool: &Pool) -> Option<usize> {
        let tail = (len / BLOCK_LEN).checked_sub(self.dropped)?;
        (!len.is_multiple_of(BLOCK_LEN) && pool.is_shared(self.blocks[tail])).then_some(tail)
    }
}

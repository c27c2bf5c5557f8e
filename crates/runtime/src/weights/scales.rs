//! [`BlockScales`]: factors of a matrix's blocks, which lie in a tensor of their own.

use std::ops::Range;
use std::sync::Arc;

use ponder_kernels_cpu::GroupScales;

use super::tensor::MappedTensor;

/// A factor for each block of a matrix, or of its rows from one on.
#[derive(Clone)]
pub(super) struct BlockScales {
    /// `[blocks of rows, blocks of columns]`; those at the ends may be shorter.
    factors: Arc<MappedTensor>,
    /// Rows and columns of a block.
    block: [usize; 2],
    first_row: usize,
}

impl BlockScales {
    /// Those of a matrix of this shape; `None` if there is not one for each block. A block has at least
    /// one value.
    pub(super) fn new(factors: MappedTensor, shape: &[usize], block: [usize; 2]) -> Option<Self> {
        let &[n_rows, row_len] = shape else {
            return None;
        };
        let n_blocks = [n_rows.div_ceil(block[0]), row_len.div_ceil(block[1])];
        (factors.shape() == n_blocks).then(|| Self {
            factors: Arc::new(factors),
            block,
            first_row: 0,
        })
    }

    /// Those of the rows from one on.
    pub(super) fn from(&self, row: usize) -> Self {
        Self {
            first_row: self.first_row + row,
            ..self.clone()
        }
    }

    /// Whether no group of so many values of a row has several factors.
    pub(super) fn suit_groups(&self, group: usize, row_len: usize) -> bool {
        self.block[1].is_multiple_of(group) || self.block[1] >= row_len
    }

    /// Those of the groups of rows, where these suit.
    pub(super) fn of_groups(&self, group: usize, [n_rows, row_len]: [usize; 2]) -> GroupScales {
        let blocks =
            self.first_row / self.block[0]..(self.first_row + n_rows).div_ceil(self.block[0]);
        let mut factors = vec![0.0; self.factors.row_len()];
        let mut values = Vec::new();
        for block in blocks {
            self.factors.read_rows(block..block + 1, &mut factors);
            let firsts = (0..row_len).step_by(group);
            values.extend(firsts.map(|first| factors[first / self.block[1]]));
        }
        GroupScales {
            values,
            block_rows: self.block[0],
            first_row: self.first_row % self.block[0],
        }
    }

    /// Multiplies the values of rows.
    pub(super) fn apply(&self, rows: Range<usize>, row_len: usize, values: &mut [f32]) {
        let mut factors = vec![0.0; self.factors.row_len()];
        let mut known = None;
        for (row, values) in rows.zip(values.chunks_mut(row_len.max(1))) {
            let place = (self.first_row + row) / self.block[0];
            if known != Some(place) {
                self.factors.read_rows(place..place + 1, &mut factors);
                known = Some(place);
            }
            for (values, factor) in values.chunks_mut(self.block[1]).zip(&factors) {
                values.iter_mut().for_each(|value| *value *= factor);
            }
        }
    }
}

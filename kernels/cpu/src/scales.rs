//! [`GroupScales`]: what weights of eight bits are multiplied by, in the words that devices share.

/// Scales of a matrix: one for each group of so many values of a row, the same for neighbouring rows.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupScales {
    /// `[blocks of rows, groups of a row]`
    pub values: Vec<f32>,
    /// Rows of a block.
    pub block_rows: usize,
    /// Which row of the first block is the first of the matrix.
    pub first_row: usize,
}

impl GroupScales {
    /// Scales of one, for `n_rows` rows of so many groups that are numbers by themselves.
    pub fn ones(n_rows: usize, n_groups: usize) -> Self {
        Self {
            values: vec![1.0; n_groups],
            block_rows: n_rows.max(1),
            first_row: 0,
        }
    }

    /// Whether there is one for each group of `n_rows` rows of so many groups.
    pub fn suffice(&self, n_rows: usize, n_groups: usize) -> bool {
        let n_blocks = (self.first_row + n_rows).div_ceil(self.block_rows.max(1));
        self.block_rows > 0 && self.values.len() >= n_blocks * n_groups
    }

    /// Those of a row of so many groups.
    ///
    /// # Panics
    /// If they do not [suffice](Self::suffice).
    pub fn of_row(&self, row: usize, n_groups: usize) -> &[f32] {
        let block = (self.first_row + row) / self.block_rows;
        &self.values[block * n_groups..][..n_groups]
    }
}

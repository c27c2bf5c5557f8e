//! [`Fp8Scales`]: what numbers of eight bits are multiplied by.

/// Values of a row that share a scale on the device.
pub const GROUP: usize = 128;

/// Scales of a matrix of E4M3: one for each [`GROUP`] of values of a row, the same for neighbouring rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Fp8Scales {
    /// `[blocks of rows, groups of a row]`
    pub values: Vec<f32>,
    /// Rows of a block.
    pub block_rows: usize,
    /// Which row of the first block is the first of the matrix.
    pub first_row: usize,
}

impl Fp8Scales {
    /// Scales of one, for rows that are numbers by themselves.
    pub(super) fn ones(n_rows: usize, row_len: usize) -> Self {
        Self {
            values: vec![1.0; row_len.div_ceil(GROUP)],
            block_rows: n_rows.max(1),
            first_row: 0,
        }
    }

    /// Whether there is one for each group of `n_rows` rows.
    pub(super) fn suffice(&self, n_rows: usize, row_len: usize) -> bool {
        let n_groups = row_len.div_ceil(GROUP);
        let n_blocks = (self.first_row + n_rows).div_ceil(self.block_rows.max(1));
        self.block_rows > 0 && self.values.len() >= n_blocks * n_groups
    }

    /// Those of a row of so many groups.
    pub(super) fn of_row(&self, row: usize, n_groups: usize) -> &[f32] {
        let block = (self.first_row + row) / self.block_rows;
        &self.values[block * n_groups..][..n_groups]
    }
}

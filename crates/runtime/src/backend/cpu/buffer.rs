//! Activations, and beside them the same numbers rounded, for as long as they are the same.

use ponder_kernels_cpu::linear::{Input, Rounding, Team};
use ponder_kernels_cpu::{Bf16Rows, Int8Rows};

/// `[n_rows, width]`
#[derive(Debug, Default)]
pub struct Buffer {
    width: usize,
    n_rows: usize,
    /// Planned for the largest batch; grows if there is a larger one.
    values: Vec<f32>,
    int8: Int8Rows,
    /// Whether these are the present values.
    has_int8: bool,
    bf16: Bf16Rows,
    /// Likewise.
    has_bf16: bool,
}

impl Buffer {
    pub(super) fn new(max_rows: usize, width: usize) -> Self {
        Self {
            width,
            values: vec![0.0; max_rows * width],
            ..Self::default()
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values()[row * self.width..(row + 1) * self.width]
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values[..self.n_rows * self.width]
    }

    /// Room for `n_rows` rows of `width`, to be overwritten. Layers of different widths may share a
    /// buffer.
    pub(super) fn reset(&mut self, n_rows: usize, width: usize) -> &mut [f32] {
        (self.n_rows, self.width) = (n_rows, width);
        if self.values.len() < n_rows * width {
            self.values.resize(n_rows * width, 0.0);
        }
        self.change()
    }

    /// The rows, to be changed.
    pub(super) fn change(&mut self) -> &mut [f32] {
        (self.has_int8, self.has_bf16) = (false, false);
        &mut self.values[..self.n_rows * self.width]
    }

    /// Rounds the rows, unless that was done already.
    pub(super) fn round(&mut self, team: &Team, rounding: Rounding) {
        let values = &self.values[..self.n_rows * self.width];
        match rounding {
            Rounding::Int8 if !self.has_int8 => {
                self.int8
                    .quantize(team.isa(), team.threads(), values, self.width);
                self.has_int8 = true;
            }
            Rounding::Bf16 if !self.has_bf16 => {
                self.bf16.round(team.threads(), values, self.width);
                self.has_bf16 = true;
            }
            Rounding::None | Rounding::Int8 | Rounding::Bf16 => {}
        }
    }

    /// The rows as they are.
    pub(super) fn plain_input(&self) -> Input<'_> {
        Input {
            values: self.values(),
            int8: None,
            bf16: None,
        }
    }

    /// The rows, with what they were rounded to.
    pub(super) fn input(&self) -> Input<'_> {
        Input {
            int8: self.has_int8.then_some(&self.int8),
            bf16: self.has_bf16.then_some(&self.bf16),
            ..self.plain_input()
        }
    }
}

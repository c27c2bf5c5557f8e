//! Activations, and beside them the same numbers rounded, for as long as they are the same.

use ponder_kernels_cpu::Int8Rows;
use ponder_kernels_cpu::linear::{Input, Team};

/// `[n_rows, width]`
#[derive(Debug, Default)]
pub struct Buffer {
    width: usize,
    n_rows: usize,
    /// Planned for the largest batch; grows if there is a larger one.
    values: Vec<f32>,
    rounded: Int8Rows,
    /// Whether `rounded` are the present values.
    is_rounded: bool,
}

impl Buffer {
    pub(super) fn new(max_rows: usize, width: usize) -> Self {
        Self {
            width,
            n_rows: 0,
            values: vec![0.0; max_rows * width],
            rounded: Int8Rows::default(),
            is_rounded: false,
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
        self.is_rounded = false;
        &mut self.values[..self.n_rows * self.width]
    }

    /// Rounds the rows, unless that was done already.
    pub(super) fn round(&mut self, team: &Team) {
        if !self.is_rounded {
            let values = &self.values[..self.n_rows * self.width];
            self.rounded
                .quantize(team.isa(), team.threads(), values, self.width);
            self.is_rounded = true;
        }
    }

    pub(super) fn plain_input(&self) -> Input<'_> {
        Input {
            values: self.values(),
            rounded: None,
        }
    }

    pub(super) fn rounded_input(&self) -> Input<'_> {
        Input {
            rounded: Some(&self.rounded),
            ..self.plain_input()
        }
    }
}

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
    remainder: Remainder,
    /// Whether `rounded` are the present values.
    is_rounded: bool,
}

/// What rounding took from the rows in which one value outweighs the others, rounded in turn.
///
/// Some tokens, the first of a text above all, have a few activations that are hundreds of times
/// larger than the rest (Sun et al. 2024, <https://arxiv.org/abs/2402.17762>). What else is in a
/// block with one of them would be lost, and every later token attends to these.
#[derive(Debug, Default)]
struct Remainder {
    /// Which rows of the buffer.
    rows: Vec<usize>,
    /// `[rows.len(), width]`
    values: Vec<f32>,
    rounded: Int8Rows,
}

/// Share of the sum of squares of a row from which a single value outweighs the others.
const OUTWEIGHS: f32 = 0.1;

impl Buffer {
    pub(super) fn new(max_rows: usize, width: usize) -> Self {
        Self {
            width,
            n_rows: 0,
            values: vec![0.0; max_rows * width],
            rounded: Int8Rows::default(),
            remainder: Remainder::default(),
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
            self.remainder.fill(
                team,
                &self.values[..self.n_rows * self.width],
                &self.rounded,
            );
            self.is_rounded = true;
        }
    }

    pub(super) fn plain_input(&self) -> Input<'_> {
        Input {
            values: self.values(),
            rounded: None,
            remainder: None,
        }
    }

    pub(super) fn rounded_input(&self) -> Input<'_> {
        Input {
            rounded: Some(&self.rounded),
            remainder: Some((&self.remainder.rows, &self.remainder.rounded)),
            ..self.plain_input()
        }
    }
}

impl Remainder {
    fn fill(&mut self, team: &Team, values: &[f32], rounded: &Int8Rows) {
        self.rows.clear();
        self.values.clear();
        for (index, row) in values.chunks_exact(rounded.k().max(1)).enumerate() {
            if outweighed(row) {
                self.rows.push(index);
                let kept = self.values.len();
                self.values.extend_from_slice(row);
                rounded.subtract_from(index, &mut self.values[kept..]);
            }
        }
        self.rounded
            .quantize(team.isa(), team.threads(), &self.values, rounded.k());
    }
}

/// Whether one value outweighs the others of a row.
fn outweighed(row: &[f32]) -> bool {
    // In eight lanes, so that the compiler may use vectors.
    let (mut squares, mut largest) = ([0.0f32; 8], [0.0f32; 8]);
    for part in row.as_chunks::<8>().0 {
        for lane in 0..8 {
            let square = part[lane] * part[lane];
            squares[lane] += square;
            largest[lane] = largest[lane].max(square);
        }
    }
    let largest = largest.into_iter().fold(0.0, f32::max);
    largest > OUTWEIGHS * squares.iter().sum::<f32>()
}

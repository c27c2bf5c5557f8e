//! Logits that stay where they were computed, and the tokens that are drawn from them there.

use super::BackendError;

pub use ponder_kernels_cpu::draw::{Draw, DrawnToken, MAX_LIKELIEST};

/// The logits of a step, on a device that can draw from them.
pub trait KeptLogits {
    /// Adds a draw. Returns `false`, and adds nothing, where the device has no room for what it is to do.
    fn push(&self, draw: &Draw<'_>) -> bool;
    /// Draws what was pushed since the last call, and appends the tokens in order; `None` where the row
    /// has to be [read](Self::read): it holds what is no finite number, or draws from more tokens than
    /// there is room for. Waits for the step, also where nothing was pushed.
    fn draw(&self, drawn: &mut Vec<Option<DrawnToken>>) -> Result<(), BackendError>;
    /// Appends so many rows of logits, from one on: `[n_rows, vocab]`.
    fn read(&self, row: usize, n_rows: usize, out: &mut Vec<f32>) -> Result<(), BackendError>;
}

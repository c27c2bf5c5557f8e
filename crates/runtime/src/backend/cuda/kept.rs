//! What comes back of a step: rows of numbers, or the tokens that were drawn from them on the device.

use std::ops::Range;

use ponder_kernels_cuda::{draw::Logits, linear::Rows};

use super::Cuda;
use crate::backend::{BackendError, Draw, DrawnToken, KeptLogits};

impl Cuda {
    /// Appends some of the rows.
    pub(super) fn bring_back(
        &self,
        rows: &Rows,
        which: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        let row_len = 4 * rows.width();
        let mut bytes = self.transfer.borrow_mut();
        bytes.resize(row_len * which.len(), 0);
        self.clock.borrow_mut().end()?;
        self.device
            .download(rows.values(), row_len * which.start, &mut bytes)?;
        let (numbers, _) = bytes.as_chunks();
        out.extend(numbers.iter().map(|&number| f32::from_le_bytes(number)));
        Ok(())
    }
}

impl KeptLogits for Cuda {
    fn push(&self, draw: &Draw<'_>) -> bool {
        let n_tokens = self.logits.borrow().width();
        self.drawing.borrow_mut().push(draw, n_tokens)
    }

    fn draw(&self, drawn: &mut Vec<Option<DrawnToken>>) -> Result<(), BackendError> {
        let rows = self.logits.borrow();
        let logits = Logits {
            memory: rows.values(),
            n_rows: self.step().n_wanted,
            n_tokens: rows.width(),
        };
        let each = |found| drawn.push(found);
        // What is between the step and this is the program's time.
        let mut clock = self.clock.borrow_mut();
        clock.begin()?;
        self.drawing.borrow_mut().run(&logits, each)?;
        Ok(clock.end()?)
    }

    fn read(&self, row: usize, n_rows: usize, out: &mut Vec<f32>) -> Result<(), BackendError> {
        self.bring_back(&self.logits.borrow(), row..row + n_rows, out)
    }
}

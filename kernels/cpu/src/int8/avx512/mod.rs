//! AVX-512 with VNNI: 64 products of bytes per instruction, sixteen rows side by side.
//!
//! A vector holds four values of each of sixteen rows; the same four activations are broadcast to
//! all of them, straight from memory, so that the sums of the rows never have to be added across
//! lanes.

mod formats;
mod product;
mod rows;

use super::layout::WIDE_PANEL;
use super::{Int8Matrix, Int8Rows};
use crate::BlockFormat;
use formats::{Iq4Nl, Iq4Xs, Mxfp4, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};

pub(super) use rows::round;

/// `tile[row of x][row of panel]`. The caller has checked that the machine has the instructions,
/// that the panels are wide, and that the sizes fit.
pub(super) fn panel(matrix: &Int8Matrix, panel: usize, x: &Int8Rows, tile: &mut [f32]) {
    let bytes = matrix.panel_bytes(panel);
    let tile = tile.as_chunks_mut::<WIDE_PANEL>().0;
    // SAFETY: this instruction set was chosen, so the machine has it; the panel is whole, and the
    // tile has as many rows as `x`.
    unsafe {
        match matrix.format {
            BlockFormat::Q4_0 => product::panel::<Q4_0>(bytes, x, tile),
            BlockFormat::Q4_1 => product::panel::<Q4_1>(bytes, x, tile),
            BlockFormat::Q5_0 => product::panel::<Q5_0>(bytes, x, tile),
            BlockFormat::Q5_1 => product::panel::<Q5_1>(bytes, x, tile),
            BlockFormat::Q8_0 => product::panel::<Q8_0>(bytes, x, tile),
            BlockFormat::IQ4NL => product::panel::<Iq4Nl>(bytes, x, tile),
            BlockFormat::IQ4XS => product::panel::<Iq4Xs>(bytes, x, tile),
            BlockFormat::MXFP4 => product::panel::<Mxfp4>(bytes, x, tile),
            BlockFormat::Q2K => product::panel::<Q2K>(bytes, x, tile),
            BlockFormat::Q3K => product::panel::<Q3K>(bytes, x, tile),
            BlockFormat::Q4K => product::panel::<Q4K>(bytes, x, tile),
            BlockFormat::Q5K => product::panel::<Q5K>(bytes, x, tile),
            BlockFormat::Q6K => product::panel::<Q6K>(bytes, x, tile),
            _ => unreachable!("formats without a layout are not packed"),
        }
    }
}

//! AVX2: 32 products of bytes per instruction, eight rows side by side.
//!
//! A vector holds four values of each of eight rows; the same four activations are broadcast to
//! all of them, so that the sums of the rows never have to be added across lanes.
//!
//! How four products become one sum is what processors differ in ([`Maddubs`] and [`Dpbusd`]). Both
//! give the same whole numbers, and so the same results.

mod dot;
mod formats;
mod product;
mod rows;
#[cfg(test)]
mod tests;

use super::layout::PANEL;
use super::{Int8Matrix, Int8Rows};
use crate::BlockFormat;
use dot::Dot;
pub(super) use dot::{Dpbusd, Maddubs};
use formats::{Iq4Nl, Iq4Xs, Mxfp4, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};

pub(super) use rows::round;

/// `tile[row of x][row of panel]`. The caller has checked that the machine has AVX2, FMA and what `D`
/// needs, and that the sizes fit.
pub(super) fn panel<D: Dot>(
    matrix: &Int8Matrix,
    panel: usize,
    x: &Int8Rows,
    tile: &mut [f32],
    scratch: &mut Vec<u8>,
) {
    let bytes = matrix.panel_bytes(panel);
    let tile = tile.as_chunks_mut::<PANEL>().0;
    // SAFETY: this instruction set was chosen, so the machine has it; the panel is whole, and the
    // tile has as many rows as `x`.
    unsafe {
        match matrix.format {
            BlockFormat::Q4_0 => product::panel::<D, Q4_0>(bytes, x, tile, scratch),
            BlockFormat::Q4_1 => product::panel::<D, Q4_1>(bytes, x, tile, scratch),
            BlockFormat::Q5_0 => product::panel::<D, Q5_0>(bytes, x, tile, scratch),
            BlockFormat::Q5_1 => product::panel::<D, Q5_1>(bytes, x, tile, scratch),
            BlockFormat::Q8_0 => product::panel::<D, Q8_0>(bytes, x, tile, scratch),
            BlockFormat::IQ4NL => product::panel::<D, Iq4Nl>(bytes, x, tile, scratch),
            BlockFormat::IQ4XS => product::panel::<D, Iq4Xs>(bytes, x, tile, scratch),
            BlockFormat::MXFP4 => product::panel::<D, Mxfp4>(bytes, x, tile, scratch),
            BlockFormat::Q2K => product::panel::<D, Q2K>(bytes, x, tile, scratch),
            BlockFormat::Q3K => product::panel::<D, Q3K>(bytes, x, tile, scratch),
            BlockFormat::Q4K => product::panel::<D, Q4K>(bytes, x, tile, scratch),
            BlockFormat::Q5K => product::panel::<D, Q5K>(bytes, x, tile, scratch),
            BlockFormat::Q6K => product::panel::<D, Q6K>(bytes, x, tile, scratch),
            _ => unreachable!("formats without a layout are not packed"),
        }
    }
}

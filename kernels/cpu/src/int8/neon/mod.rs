//! NEON: sixteen products of bytes per instruction, four rows side by side.
//!
//! The 32 bytes that hold four values of each of eight rows are two vectors. The same four
//! activations meet all of them, so that the sums of the rows never have to be added across lanes;
//! which four of a vector with sixteen is part of the instruction.
//!
//! How four products become one sum is what processors differ in ([`Smull`] and [`Sdot`]). All of
//! them give the same whole numbers, and so the same results.
//!
//! `smmla`, the product of matrices, is left out. It takes eight values of two rows where a vector
//! here holds four values of four: bringing weights, activations and sums into its order takes 48
//! instructions for every 64 of its own, which do the work of 128 `sdot`.

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
pub(super) use dot::{Sdot, Smull};
use formats::{Iq4Nl, Iq4Xs, Mxfp4, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
pub(super) use rows::round;

/// `tile[row of x][row of panel]`. The caller has checked that the machine has what `D` needs, and
/// that the sizes fit.
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
            BlockFormat::Q4_0 => D::panel::<Q4_0>(bytes, x, tile, scratch),
            BlockFormat::Q4_1 => D::panel::<Q4_1>(bytes, x, tile, scratch),
            BlockFormat::Q5_0 => D::panel::<Q5_0>(bytes, x, tile, scratch),
            BlockFormat::Q5_1 => D::panel::<Q5_1>(bytes, x, tile, scratch),
            BlockFormat::Q8_0 => D::panel::<Q8_0>(bytes, x, tile, scratch),
            BlockFormat::IQ4NL => D::panel::<Iq4Nl>(bytes, x, tile, scratch),
            BlockFormat::IQ4XS => D::panel::<Iq4Xs>(bytes, x, tile, scratch),
            BlockFormat::MXFP4 => D::panel::<Mxfp4>(bytes, x, tile, scratch),
            BlockFormat::Q2K => D::panel::<Q2K>(bytes, x, tile, scratch),
            BlockFormat::Q3K => D::panel::<Q3K>(bytes, x, tile, scratch),
            BlockFormat::Q4K => D::panel::<Q4K>(bytes, x, tile, scratch),
            BlockFormat::Q5K => D::panel::<Q5K>(bytes, x, tile, scratch),
            BlockFormat::Q6K => D::panel::<Q6K>(bytes, x, tile, scratch),
            _ => unreachable!("formats without a layout are not packed"),
        }
    }
}

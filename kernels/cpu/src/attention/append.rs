//! Writing keys and values into their blocks.

use super::layout::{Cell, for_format};
use super::{BLOCK_LEN, KvFormat, KvLayout, Span};
use crate::Isa;
use crate::Threads;
use crate::simd::rows::{self, Row, WIDTH, bf16_place};
use crate::simd::{self, Kernel, Simd};
use crate::threads::SharedSlice;

/// Stores the keys and values of new tokens.
///
/// `keys` and `values` are `[n_rows, n_kv_heads * head_dim]`; each span says which of the rows are
/// its own and where they go.
///
/// # Panics
/// If a length does not fit, or a block that is written to is missing from a table or lies outside
/// of `storage`.
pub fn append(
    threads: &Threads,
    isa: Isa,
    layout: &KvLayout,
    spans: &[Span<'_>],
    [keys, values]: [&[f32]; 2],
    storage: &mut [u8],
) {
    let width = layout.n_kv_heads * layout.head_dim;
    for span in spans {
        span.check(keys.len(), width);
    }
    assert_eq!(keys.len(), values.len(), "as many values as keys");
    let storage = SharedSlice::new(storage);
    threads.run(layout.n_kv_heads, &|head, _| {
        for (span, i) in spans
            .iter()
            .flat_map(|span| (0..span.n_rows).map(move |i| (span, i)))
        {
            let position = span.position + i;
            let block = span.block(position / BLOCK_LEN);
            let start = block * layout.block_bytes() + head * layout.head_bytes();
            // SAFETY: each task has its own head in every block.
            let cells = unsafe { storage.part(start..start + layout.head_bytes()) };
            let at = (span.first_row + i) * width + head * layout.head_dim;
            let token = Token {
                layout,
                slot: position % BLOCK_LEN,
                key: &keys[at..at + layout.head_dim],
                value: &values[at..at + layout.head_dim],
                cells,
            };
            simd::run(isa, token);
        }
    });
}

/// One token's key and value of one head.
struct Token<'a> {
    layout: &'a KvLayout,
    /// Which of the block's tokens it is.
    slot: usize,
    key: &'a [f32],
    value: &'a [f32],
    /// The head's part of the block.
    cells: &'a mut [u8],
}

impl Kernel for Token<'_> {
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        for_format!(self.layout.format, |Format| self.write::<Format>());
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

impl Token<'_> {
    #[inline(always)]
    fn write<C: Encode>(self) {
        let (keys, values) = self.cells.split_at_mut(self.layout.key_bytes());
        let key_chunks = keys.chunks_mut(C::CHUNK_BYTES);
        for (chunk, key) in key_chunks.zip(self.key.chunks(WIDTH)) {
            let (codes, scale) = C::encode(key);
            let rows = put_scale::<C>(chunk, self.slot, scale);
            for (row, code) in rows
                .chunks_exact_mut(C::Row::BYTES)
                .zip(&codes[..key.len()])
            {
                C::put(row, self.slot, *code);
            }
        }
        let value_chunks = values.chunks_mut(C::CHUNK_BYTES);
        for (chunk, value) in value_chunks.zip(self.value.chunks(WIDTH)) {
            let (codes, scale) = C::encode(value);
            let rows = put_scale::<C>(chunk, self.slot, scale);
            let row = &mut rows[self.slot * C::Row::BYTES..][..C::Row::BYTES];
            for (lane, code) in codes.into_iter().enumerate() {
                C::put(row, lane, code);
            }
        }
    }
}

/// Writes a token's scale, if the format has any, and gives back the rows behind the scales.
#[inline(always)]
fn put_scale<C: Cell>(chunk: &mut [u8], slot: usize, scale: u16) -> &mut [u8] {
    let (scales, rows) = chunk.split_at_mut(C::SCALE_BYTES);
    if C::SCALED {
        scales.as_chunks_mut().0[slot] = scale.to_ne_bytes();
    }
    rows
}

/// Numbers to codes, and codes into rows.
trait Encode: Cell {
    /// Up to 32 numbers; codes of what is missing are those of 0. The second is the scale in half
    /// precision, where the format has one.
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16);

    fn put(row: &mut [u8], lane: usize, code: u32);
}

/// Up to 32 numbers, zeros behind.
#[inline(always)]
fn padded(x: &[f32]) -> [f32; WIDTH] {
    let mut all = [0.0; WIDTH];
    all[..x.len()].copy_from_slice(x);
    all
}

impl Encode for rows::F32 {
    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        (padded(x).map(f32::to_bits), 0)
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, code: u32) {
        row.as_chunks_mut().0[lane] = code.to_ne_bytes();
    }
}

impl Encode for rows::F16 {
    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        (padded(x).map(f16_bits), 0)
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, code: u32) {
        row.as_chunks_mut().0[lane] = (code as u16).to_ne_bytes();
    }
}

impl Encode for rows::Bf16 {
    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        let code = |x: f32| u32::from(half::bf16::from_f32(x).to_bits());
        (padded(x).map(code), 0)
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, code: u32) {
        row.as_chunks_mut().0[bf16_place(lane)] = (code as u16).to_ne_bytes();
    }
}

impl Encode for rows::I8 {
    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        let x = padded(x);
        let largest = x.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let (scale, inverse) = half_scale(largest / 127.0);
        let code = |x: f32| (x * inverse).round_ties_even().clamp(-127.0, 127.0) as i32 as u32;
        (x.map(code), scale)
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, code: u32) {
        row[lane] = code as u8;
    }
}

impl Encode for rows::I4 {
    /// The number that is farthest from 0 becomes -8, whatever its sign: so all 16 codes are used.
    #[inline(always)]
    fn encode(x: &[f32]) -> ([u32; WIDTH], u16) {
        let x = padded(x);
        let farther = |a: f32, b: &f32| if b.abs() > a.abs() { *b } else { a };
        let (scale, inverse) = half_scale(x.iter().fold(0.0, farther) / -8.0);
        let code = |x: f32| (x * inverse + 8.0).round_ties_even().clamp(0.0, 15.0) as u32;
        (x.map(code), scale)
    }

    #[inline(always)]
    fn put(row: &mut [u8], lane: usize, code: u32) {
        let shift = lane / 16 * 4;
        let byte = &mut row[lane % 16];
        *byte = *byte & !(15 << shift) | (code as u8) << shift;
    }
}

/// A scale in half precision, and the inverse of what it has become by that.
#[inline(always)]
fn half_scale(scale: f32) -> (u16, f32) {
    let bits = f16_bits(scale) as u16;
    let rounded = half::f16::from_bits(bits).to_f32();
    let inverse = if rounded == 0.0 { 0.0 } else { 1.0 / rounded };
    (bits, inverse)
}

/// The bits of the nearest half-precision number, ties to even; the largest one for what is
/// beyond. Without branches, so that loops over it vectorize.
#[inline(always)]
fn f16_bits(x: f32) -> u32 {
    /// The exponent of `f32` is 112 larger.
    const REBIAS: u32 = 112 << 23;
    const LARGEST: u32 = 65504.0f32.to_bits();
    let bits = x.to_bits();
    let sign = bits >> 16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let is_number = magnitude <= f32::INFINITY.to_bits();
    let magnitude = if magnitude > LARGEST {
        LARGEST
    } else {
        magnitude
    };
    let rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    let normal = rounded.wrapping_sub(REBIAS) >> 13;
    // Half precision counts its subnormals in steps of 2^-24, as `f32` counts next to 0.5.
    let subnormal = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0.5f32.to_bits());
    let is_normal = magnitude >= REBIAS + (1 << 23);
    let value = if is_normal { normal } else { subnormal };
    let value = if is_number { value } else { 0x7e00 };
    sign | value
}

#[cfg(test)]
mod tests {
    use super::f16_bits;

    #[test]
    fn half_precision_is_rounded_as_it_should() {
        let mut bits = 0u32;
        while let Some(next) = bits.checked_add(4099) {
            let x = f32::from_bits(bits);
            let want = half::f16::from_f32(x);
            let want = if want.is_infinite() {
                half::f16::MAX.to_f32().copysign(x)
            } else {
                want.to_f32()
            };
            let got = half::f16::from_bits(f16_bits(x) as u16).to_f32();
            assert!(
                got == want || got.is_nan() && x.is_nan(),
                "{x}: {got}, not {want}"
            );
            bits = next;
        }
    }
}

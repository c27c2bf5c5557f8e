//! The portable twin: a packed panel read value by value.

use super::blocks::{Block, Rounded};
use super::layout::{PANEL, SUB, WIDE_PANEL};
use super::{Int8Matrix, Int8Rows};
use crate::BlockFormat;
use crate::scalar::{E2M1_DOUBLED, IQ4_VALUES, f16_value, half_e8m0};

/// 32 values of the rows of a panel: `value = scale × code + offset`, scale and offset for 16 values each.
pub(super) struct SubBlock<const PANEL: usize> {
    /// `[row][value]`
    pub(super) codes: [[i16; SUB]; PANEL],
    /// `[half][row]`
    pub(super) scale: [[f32; PANEL]; 2],
    /// `[half][row]`
    pub(super) offset: [[f32; PANEL]; 2],
}

impl<const PANEL: usize> SubBlock<PANEL> {
    /// The `sub`-th 32 values of a chunk.
    pub(super) fn read(format: BlockFormat, chunk: &[u8], header: usize, sub: usize) -> Self {
        let mut block = Self {
            codes: [[0; SUB]; PANEL],
            scale: [[0.0; PANEL]; 2],
            offset: [[0.0; PANEL]; 2],
        };
        for row in 0..PANEL {
            let words = |word: usize, byte: usize| chunk[header + (word * PANEL + row) * 4 + byte];
            for (i, code) in block.codes[row].iter_mut().enumerate() {
                *code = code_at(format, words, sub, i);
            }
            for half in 0..2 {
                let (scale, offset) = scale_at::<PANEL>(format, chunk, row, sub, half);
                block.scale[half][row] = scale;
                block.offset[half][row] = offset;
            }
        }
        block
    }

    /// Adds the products of each row with rounded activations.
    fn add(&self, (codes, scale, sums): Block, tile: &mut [f32; PANEL]) {
        let codes = codes.as_flattened();
        for (row, sum) in tile.iter_mut().enumerate() {
            for (half, x_sum) in sums.iter().enumerate() {
                let span = 16 * half..16 * half + 16;
                let pairs = self.codes[row][span.clone()].iter().zip(&codes[span]);
                let dot: i32 = pairs.map(|(&w, &a)| i32::from(w) * i32::from(a)).sum();
                *sum += dot as f32 * scale * self.scale[half][row];
                *sum += x_sum * self.offset[half][row];
            }
        }
    }
}

/// The code of value `i` of 32. `words(w, b)` is byte `b` of the row's word `w`.
fn code_at(format: BlockFormat, words: impl Fn(usize, usize) -> u8, sub: usize, i: usize) -> i16 {
    let byte = |at: usize| words(at / 4, at % 4);
    // Sixteen bytes whose low nibbles come before their high ones.
    let nibble = |first: usize| (byte(first + i % 16) >> (i / 16 * 4)) & 0x0f;
    // 32 bytes whose low nibbles are one sub-block and whose high ones are the next.
    let k_nibble = || (byte(sub / 2 * 32 + i) >> (sub % 2 * 4)) & 0x0f;
    // 32 bytes that are four sub-blocks of two bits, from word `first` on.
    let two_bits = |first: usize| (byte(4 * first + sub / 4 * 32 + i) >> (sub % 4 * 2)) & 3;
    let fifth = || (words(4, i % 4) >> (i / 4)) & 1;
    let unsigned = match format {
        BlockFormat::Q4_0 | BlockFormat::Q4_1 => nibble(0),
        BlockFormat::Q5_0 | BlockFormat::Q5_1 => nibble(0) | fifth() << 4,
        BlockFormat::Q8_0 => return i16::from(byte(i) as i8),
        BlockFormat::IQ4NL => return i16::from(IQ4_VALUES[usize::from(nibble(0))]),
        BlockFormat::IQ4XS => return i16::from(IQ4_VALUES[usize::from(nibble(16 * sub))]),
        BlockFormat::MXFP4 => return i16::from(E2M1_DOUBLED[usize::from(nibble(0))]) + 12,
        BlockFormat::Q2K => two_bits(0),
        BlockFormat::Q3K => two_bits(0) | ((words(16 + i / 4, i % 4) >> sub) & 1) << 2,
        BlockFormat::Q4K => k_nibble(),
        BlockFormat::Q5K => k_nibble() | ((words(32 + i / 4, i % 4) >> sub) & 1) << 4,
        BlockFormat::Q6K => {
            // A half of 128 values has 64 bytes: sub-blocks 0 and 1 low, 2 and 3 high.
            let low = byte(sub / 4 * 64 + sub % 2 * 32 + i) >> (sub % 4 / 2 * 4);
            (low & 0x0f) | two_bits(32) << 4
        }
        _ => unreachable!("formats without a layout are not packed"),
    };
    i16::from(unsigned)
}

/// Scale and offset of a row's 16 values.
fn scale_at<const PANEL: usize>(
    format: BlockFormat,
    chunk: &[u8],
    row: usize,
    sub: usize,
    half: usize,
) -> (f32, f32) {
    let float = |index: usize| {
        let at = (index * PANEL + row) * 2;
        f16_value(u16::from_le_bytes([chunk[at], chunk[at + 1]]))
    };
    // Behind so many halves.
    let byte = |n_halves: usize, group: usize| chunk[(2 * n_halves + group) * PANEL + row];
    let signed = |n_halves: usize, group: usize| f32::from(byte(n_halves, group) as i8);
    let centred = |scale: f32, offset: f32| (scale, -offset * scale);
    let sixteenth = 2 * sub + half;
    match format {
        BlockFormat::Q4_0 => centred(float(0), 8.0),
        BlockFormat::Q5_0 => centred(float(0), 16.0),
        BlockFormat::Q4_1 | BlockFormat::Q5_1 => (float(0), float(1)),
        BlockFormat::Q8_0 | BlockFormat::IQ4NL => (float(0), 0.0),
        BlockFormat::MXFP4 => centred(half_e8m0(byte(0, 0)), 12.0),
        BlockFormat::Q2K => {
            let both = byte(2, sixteenth);
            let (scale, minimum) = (f32::from(both & 0x0f), f32::from(both >> 4));
            (float(0) * scale, -float(1) * minimum)
        }
        BlockFormat::Q3K => centred(float(0) * signed(1, sixteenth), 4.0),
        BlockFormat::Q6K => centred(float(0) * signed(1, sixteenth), 32.0),
        BlockFormat::Q4K | BlockFormat::Q5K => (
            float(0) * f32::from(byte(2, sub)),
            -float(1) * f32::from(byte(2, 8 + sub)),
        ),
        BlockFormat::IQ4XS => (float(0) * signed(1, sub), 0.0),
        _ => unreachable!("formats without a layout are not packed"),
    }
}

/// `tile[row of x][row of panel]`
pub(super) fn panel(matrix: &Int8Matrix, panel: usize, x: &Int8Rows, tile: &mut [f32]) {
    match matrix.panel_len() {
        WIDE_PANEL => rounded_panel::<WIDE_PANEL>(matrix, panel, x, tile),
        _ => rounded_panel::<PANEL>(matrix, panel, x, tile),
    }
}

fn rounded_panel<const PANEL: usize>(
    matrix: &Int8Matrix,
    panel: usize,
    x: &Int8Rows,
    tile: &mut [f32],
) {
    tile.fill(0.0);
    let tile = tile.as_chunks_mut::<PANEL>().0;
    let mut again = vec![[0.0; PANEL]; tile.len()];
    for sub in 0..matrix.k() / SUB {
        let block = matrix.sub_block::<PANEL>(panel, sub);
        for (n, sums) in tile.iter_mut().enumerate() {
            block.add(x.sub(n, sub), sums);
        }
        for (n, rounded) in x.twice().get(sub) {
            block.add(rounded, &mut again[n]);
        }
    }
    for (sum, again) in tile.as_flattened_mut().iter_mut().zip(again.as_flattened()) {
        *sum += again;
    }
}

/// As [`panel`], on activations that were not rounded. `x`: `[n, k]`
pub(super) fn exact_panel(matrix: &Int8Matrix, panel: usize, x: &[f32], tile: &mut [f32]) {
    match matrix.panel_len() {
        WIDE_PANEL => exact_panel_of::<WIDE_PANEL>(matrix, panel, x, tile),
        _ => exact_panel_of::<PANEL>(matrix, panel, x, tile),
    }
}

fn exact_panel_of<const PANEL: usize>(
    matrix: &Int8Matrix,
    panel: usize,
    x: &[f32],
    tile: &mut [f32],
) {
    tile.fill(0.0);
    for sub_idx in 0..matrix.k() / SUB {
        let block = matrix.sub_block::<PANEL>(panel, sub_idx);
        let values: [[f32; SUB]; PANEL] = std::array::from_fn(|row| {
            std::array::from_fn(|i| {
                let half = i / 16;
                block.scale[half][row] * f32::from(block.codes[row][i]) + block.offset[half][row]
            })
        });
        let rows = x.chunks_exact(matrix.k());
        for (tile, x) in tile.as_chunks_mut::<PANEL>().0.iter_mut().zip(rows) {
            let x: &[f32; SUB] = x[sub_idx * SUB..].first_chunk().expect("whole blocks");
            for (sum, values) in tile.iter_mut().zip(&values) {
                // Eight partial sums, so that the compiler may use vectors.
                let mut parts = [0.0f32; 8];
                for (x, w) in x.as_chunks::<8>().0.iter().zip(values.as_chunks::<8>().0) {
                    (0..8).for_each(|lane| parts[lane] += x[lane] * w[lane]);
                }
                *sum += parts.iter().sum::<f32>();
            }
        }
    }
}

/// Rounds 32 values to `scale × code`, codes within ±127.
pub(super) fn round(x: &[f32; SUB]) -> Rounded {
    let largest = x.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let codes: [[i8; 4]; 8] = std::array::from_fn(|s| {
        std::array::from_fn(|i| (x[4 * s + i] * inverse).round_ties_even() as i8)
    });
    let sum = |half: usize| {
        let codes = codes[4 * half..4 * half + 4].as_flattened();
        codes.iter().map(|&code| i32::from(code)).sum()
    };
    Rounded {
        codes,
        scale: largest / 127.0,
        sums: [sum(0), sum(1)],
    }
}

//! From the file's rows to packed panels.

use super::layout::Layout;
use crate::BlockFormat;

/// Packs the rows of a panel; `row` gives the bytes of each, or `None` past the end of the matrix.
pub(super) fn pack_panel<'a, const PANEL: usize>(
    format: BlockFormat,
    layout: Layout,
    row: impl Fn(usize) -> Option<&'a [u8]>,
    out: &mut [u8],
) {
    let rows: [Option<&[u8]>; PANEL] = std::array::from_fn(row);
    for (i, chunk) in out.chunks_exact_mut(layout.chunk_bytes()).enumerate() {
        let at = i * format.block_bytes();
        let blocks = rows.map(|row| row.map(|row| &row[at..at + format.block_bytes()]));
        pack_chunk(format, layout, blocks, chunk);
    }
}

/// Packs the same block of all rows of a panel. A row that is absent (past the end of the matrix)
/// is `None` and counts as zeros.
fn pack_chunk<const PANEL: usize>(
    format: BlockFormat,
    layout: Layout,
    blocks: [Option<&[u8]>; PANEL],
    chunk: &mut [u8],
) {
    let (header, codes) = chunk.split_at_mut(layout.header);
    for (row, block) in blocks.into_iter().enumerate() {
        let Some(block) = block else {
            // Scales of zero make zeros of any codes.
            continue;
        };
        let mut header = Header::<PANEL> { bytes: header, row };
        match format {
            BlockFormat::Q4_0 | BlockFormat::IQ4NL => {
                header.half(0, block, 0);
                words::<PANEL>(codes, row, 0, &block[2..]);
            }
            BlockFormat::Q8_0 => {
                header.half(0, block, 0);
                words::<PANEL>(codes, row, 0, &block[2..]);
            }
            BlockFormat::Q4_1 => {
                header.half(0, block, 0);
                header.half(1, block, 2);
                words::<PANEL>(codes, row, 0, &block[4..]);
            }
            BlockFormat::Q5_0 => {
                header.half(0, block, 0);
                words::<PANEL>(codes, row, 0, &block[6..]);
                words::<PANEL>(codes, row, 4, &fifth_bits(&block[2..6]));
            }
            BlockFormat::Q5_1 => {
                header.half(0, block, 0);
                header.half(1, block, 2);
                words::<PANEL>(codes, row, 0, &block[8..]);
                words::<PANEL>(codes, row, 4, &fifth_bits(&block[4..8]));
            }
            BlockFormat::MXFP4 => {
                header.bytes[row] = block[0];
                words::<PANEL>(codes, row, 0, &block[1..]);
            }
            BlockFormat::Q2K => {
                header.half(0, block, 80);
                header.half(1, block, 82);
                header.scales(2, block[..16].iter().copied());
                words::<PANEL>(codes, row, 0, &block[16..80]);
            }
            BlockFormat::Q3K => {
                header.half(0, block, 108);
                header.scales(1, q3_k_scales(&block[96..108]));
                words::<PANEL>(codes, row, 0, &block[32..96]);
                words::<PANEL>(codes, row, 16, &block[..32]);
            }
            BlockFormat::Q4K => {
                header.half(0, block, 0);
                header.half(1, block, 2);
                header.scales(2, k_scales(&block[4..16]));
                words::<PANEL>(codes, row, 0, &block[16..]);
            }
            BlockFormat::Q5K => {
                header.half(0, block, 0);
                header.half(1, block, 2);
                header.scales(2, k_scales(&block[4..16]));
                words::<PANEL>(codes, row, 0, &block[48..]);
                words::<PANEL>(codes, row, 32, &block[16..48]);
            }
            BlockFormat::Q6K => {
                header.half(0, block, 208);
                header.scales(1, block[192..208].iter().copied());
                words::<PANEL>(codes, row, 0, &block[..192]);
            }
            BlockFormat::IQ4XS => {
                header.half(0, block, 0);
                header.scales(1, iq4_xs_scales(&block[2..8]));
                words::<PANEL>(codes, row, 0, &block[8..]);
            }
            _ => unreachable!("formats without a layout are not packed"),
        }
    }
}

/// What one row has in the header of a chunk.
struct Header<'a, const PANEL: usize> {
    bytes: &'a mut [u8],
    row: usize,
}

impl<const PANEL: usize> Header<'_, PANEL> {
    /// The `index`-th half-precision number of the row: the one at byte `at` of the block.
    fn half(&mut self, index: usize, block: &[u8], at: usize) {
        let to = (index * PANEL + self.row) * 2;
        self.bytes[to..to + 2].copy_from_slice(&block[at..at + 2]);
    }

    /// One byte per group, behind so many halves.
    fn scales(&mut self, n_halves: usize, scales: impl IntoIterator<Item = u8>) {
        for (group, scale) in scales.into_iter().enumerate() {
            self.bytes[(2 * n_halves + group) * PANEL + self.row] = scale;
        }
    }
}

/// Writes the row's words from word `first` on.
fn words<const PANEL: usize>(codes: &mut [u8], row: usize, first: usize, block: &[u8]) {
    let places = codes.chunks_exact_mut(4 * PANEL).skip(first);
    for (place, word) in places.zip(block.as_chunks::<4>().0) {
        place[4 * row..4 * row + 4].copy_from_slice(word);
    }
}

/// Bit `4 s + b` of the file's word becomes bit `s` of byte `b`: the fifth bits of the `s`-th four
/// values stand where a shift by `s` brings them to the same place in each byte.
fn fifth_bits(bits: &[u8]) -> [u8; 4] {
    let bits = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
    std::array::from_fn(|b| (0..8).fold(0, |byte, s| byte | ((bits >> (4 * s + b) & 1) << s) as u8))
}

/// Eight scales, then eight minima, of six bits each; see `scalar/k_quants.rs` for where they are.
fn k_scales(packed: &[u8]) -> [u8; 16] {
    std::array::from_fn(|i| {
        let (at, minimum) = (i % 8 % 4, i / 8);
        let own = packed[at + 4 * minimum];
        if i % 8 < 4 {
            own & 0x3f
        } else {
            ((packed[at + 8] >> (4 * minimum)) & 0x0f) | ((own >> 2) & 0x30)
        }
    })
}

/// Sixteen signed scales, their offset of 32 taken off; see `scalar/k_quants.rs`.
fn q3_k_scales(packed: &[u8]) -> [u8; 16] {
    std::array::from_fn(|i| {
        let low = (packed[i % 8] >> (i / 8 * 4)) & 0x0f;
        let high = (packed[8 + i % 4] >> (i / 4 * 2)) & 3;
        (low | (high << 4)).wrapping_sub(32)
    })
}

/// Eight signed scales, their offset of 32 taken off; see `scalar/i4_quants.rs`.
fn iq4_xs_scales(packed: &[u8]) -> [u8; 8] {
    let high = u16::from_le_bytes([packed[0], packed[1]]);
    std::array::from_fn(|i| {
        let low = (packed[2 + i / 2] >> (i % 2 * 4)) & 0x0f;
        let high = (high >> (2 * i)) as u8 & 3;
        (low | (high << 4)).wrapping_sub(32)
    })
}

//! Writing keys and values into their blocks.

use super::cell::{Cell, for_format};
use super::{BLOCK_LEN, KvFormat, KvLayout, Span};
use crate::Isa;
use crate::Threads;
use crate::simd::rows::WIDTH;
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
    fn write<C: Cell>(self) {
        let (keys, values) = self.cells.split_at_mut(self.layout.key_bytes());
        let key_chunks = keys.chunks_mut(C::CHUNK_BYTES);
        for (chunk, key) in key_chunks.zip(self.key.chunks(WIDTH)) {
            let (codes, scale) = C::encode(key);
            let rows = put_scale::<C>(chunk, self.slot, scale);
            for (row, code) in codes[..key.len()].iter().enumerate() {
                C::put(rows, row, self.slot, *code);
            }
        }
        let value_chunks = values.chunks_mut(C::CHUNK_BYTES);
        for (chunk, value) in value_chunks.zip(self.value.chunks(WIDTH)) {
            let (codes, scale) = C::encode(value);
            let rows = put_scale::<C>(chunk, self.slot, scale);
            for (lane, code) in codes.into_iter().enumerate() {
                C::put(rows, self.slot, lane, code);
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

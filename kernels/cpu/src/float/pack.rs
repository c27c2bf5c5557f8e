//! From the file's rows to panels.

use crate::Threads;
use crate::simd::rows::{self, Row, WIDTH, bf16_place};
use crate::threads::SharedSlice;

/// Inputs that are packed at a time: the rows' parts and the panel's stay in the first-level cache.
const INPUTS: usize = 32;

/// A number as the file has it, and where it goes.
pub(super) trait Packed: Row {
    /// Bytes of a number.
    const SIZE: usize = Self::BYTES / WIDTH;

    /// Copies the numbers of one lane: `from` are little-endian numbers, `to` as many rows.
    fn put(from: &[u8], to: &mut [u8], lane: usize);
}

macro_rules! packed {
    ($($name:ident: $number:ty, $place:expr;)*) => {$(
        impl Packed for rows::$name {
            #[inline(always)]
            fn put(from: &[u8], to: &mut [u8], lane: usize) {
                let place: fn(usize) -> usize = $place;
                let place = place(lane);
                let rows = to.as_chunks_mut().0.as_chunks_mut::<WIDTH>().0;
                for (row, number) in rows.iter_mut().zip(from.as_chunks().0) {
                    row[place] = <$number>::from_le_bytes(*number).to_ne_bytes();
                }
            }
        }
    )*};
}

packed! {
    F32: u32, |lane| lane;
    F16: u16, |lane| lane;
    Bf16: u16, bf16_place;
}

/// `rows` are `[n_rows, k]`, `panels` are as many as it takes, zeroed.
pub(super) fn pack<R: Packed>(threads: &Threads, rows: &[u8], k: usize, panels: &mut [u8]) {
    let (row_bytes, panel_bytes) = (k * R::SIZE, k * R::BYTES);
    if panel_bytes == 0 {
        return;
    }
    let n_panels = panels.len() / panel_bytes;
    let panels = SharedSlice::new(panels);
    threads.run(n_panels, &|panel, _| {
        // SAFETY: each task has its own panel.
        let to = unsafe { panels.part(panel * panel_bytes..(panel + 1) * panel_bytes) };
        let rows = || rows.chunks_exact(row_bytes).skip(panel * WIDTH).take(WIDTH);
        for (i, to) in to.chunks_mut(INPUTS * R::BYTES).enumerate() {
            let first = i * INPUTS * R::SIZE;
            for (lane, row) in rows().enumerate() {
                R::put(
                    &row[first..row_bytes.min(first + INPUTS * R::SIZE)],
                    to,
                    lane,
                );
            }
        }
    });
}

//! Products of bfloat16 with bfloat16, two at a time, for processors that have an instruction for it.
//!
//! A panel holds the weights of two inputs side by side, row by row; the two activations are
//! broadcast to all rows. A sum is taken in the order of the pairs, however many rows go together.

use super::FloatMatrix;
use crate::Isa;
use crate::simd::rows::WIDTH;
use crate::simd::{self, Kernel, Simd};
use crate::threads::{SharedSlice, Threads};

/// Rows of activations from which each thread rounds its own.
const MANY_ROWS: usize = 16;

/// Rows of activations, rounded to bfloat16.
#[derive(Debug, Default)]
pub struct Bf16Rows {
    n: usize,
    k: usize,
    /// `[n, k / 2]`, the first of two in the lower half.
    pairs: Vec<u32>,
}

impl Bf16Rows {
    /// Takes in `x`, `[n, k]` with `k` a multiple of 2. What was there before is replaced.
    ///
    /// # Panics
    /// If `x` is not a whole number of such rows.
    pub fn round(&mut self, threads: &Threads, x: &[f32], k: usize) {
        assert!(k.is_multiple_of(2) && x.len().is_multiple_of(k.max(1)));
        (self.n, self.k) = (x.len().checked_div(k).unwrap_or(0), k);
        self.pairs.resize(x.len() / 2, 0);
        if self.n < MANY_ROWS {
            return round(x, &mut self.pairs);
        }
        let pairs = SharedSlice::new(&mut self.pairs);
        threads.run(self.n, &|row, _| {
            // SAFETY: each task has a row of its own.
            let pairs = unsafe { pairs.part(row * k / 2..(row + 1) * k / 2) };
            round(&x[row * k..(row + 1) * k], pairs);
        });
    }

    /// Rows.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// Values of a row.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The two values at a place.
    pub(super) fn pair(&self, row: usize, pair: usize) -> [f32; 2] {
        values(self.pairs[row * (self.k / 2) + pair])
    }
}

/// To the nearest, ties to even. Plain integer arithmetic, which vectorizes.
fn round(x: &[f32], pairs: &mut [u32]) {
    for (pair, x) in pairs.iter_mut().zip(x.as_chunks::<2>().0) {
        let [low, high] = x.map(|x| {
            let bits = x.to_bits();
            let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
            // A number that is none stays none, whatever bits it has.
            if x.is_nan() {
                bits | 0x40_0000
            } else {
                rounded
            }
        });
        *pair = low >> 16 | high & 0xffff_0000;
    }
}

/// The two numbers of a pair.
pub(super) fn values(pair: u32) -> [f32; 2] {
    [
        f32::from_bits(pair << 16),
        f32::from_bits(pair & 0xffff_0000),
    ]
}

/// What [`panel`] computes, in portable Rust.
pub(super) fn scalar_panel(matrix: &FloatMatrix, panel: usize, x: &Bf16Rows, tile: &mut [f32]) {
    let sums = Sums {
        pairs: matrix.pairs(panel),
        x: |n, i| x.pair(n, i),
        tile,
    };
    sums.scalar();
}

/// The same without rounding: `x` is `[n, k]`.
pub(super) fn exact_panel(
    isa: Isa,
    matrix: &FloatMatrix,
    panel: usize,
    x: &[f32],
    tile: &mut [f32],
) {
    let (x, n_pairs) = (x.as_chunks::<2>().0, matrix.k() / 2);
    let sums = Sums {
        pairs: matrix.pairs(panel),
        x: |n, i| x[n * n_pairs + i],
        tile,
    };
    simd::run(isa, sums);
}

/// `tile[n][row]` from pairs of weights, and the pair of inputs that `x(n, i)` gives.
struct Sums<'a, P, X> {
    pairs: P,
    x: X,
    tile: &'a mut [f32],
}

impl<P, X> Kernel for Sums<'_, P, X>
where
    P: Iterator<Item = [u32; WIDTH]> + Clone,
    X: Fn(usize, usize) -> [f32; 2],
{
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        for (n, sums) in self.tile.chunks_exact_mut(WIDTH).enumerate() {
            sums.fill(0.0);
            for (i, weights) in self.pairs.clone().enumerate() {
                let x = (self.x)(n, i);
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    let weights = values(weights);
                    *sum += weights[0] * x[0];
                    *sum += weights[1] * x[1];
                }
            }
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use avx512::panel;

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::Bf16Rows;
    use crate::simd::rows::{WIDTH, in_groups};

    /// Rows of activations that one pass over weights serves: their sums fill 24 of 32 registers.
    const GROUP: usize = 12;
    /// Pairs of inputs after which the next rows have their turn: their weights, 16 kB, stay in the
    /// first-level cache meanwhile.
    const PAIRS: usize = 128;
    /// How far ahead of their use weights are asked for, in bytes.
    const AHEAD: usize = 4096;
    /// Bytes of the weights of a pair of inputs.
    const PAIR_BYTES: usize = 4 * WIDTH;

    /// `tile[n][row]`, for all rows of `x`.
    ///
    /// # Safety
    /// The machine has AVX-512 F and BF16; `weights` are `x.k() / 2` pairs of 32 rows; `tile` has as
    /// many rows as `x`.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(in super::super) unsafe fn panel(weights: &[u8], x: &Bf16Rows, tile: &mut [f32]) {
        tile.fill(0.0);
        let n_pairs = x.k() / 2;
        // A single group goes through in one piece.
        let step = if x.n() <= GROUP {
            n_pairs.max(1)
        } else {
            PAIRS
        };
        for first_pair in (0..n_pairs).step_by(step) {
            let n = step.min(n_pairs - first_pair);
            let weights = weights[first_pair * PAIR_BYTES..].as_ptr();
            in_groups!(x.n(), GROUP; 1 2 3 4 5 6 7 8 9 10 11 12, |M, first| {
                // SAFETY: `M` rows of `x` and of the tile follow `first`, `n` pairs `first_pair`.
                unsafe {
                    let x = x.pairs.as_ptr().add(first * n_pairs + first_pair);
                    let tile = tile.as_mut_ptr().add(first * WIDTH);
                    add::<M>(weights, (x, n_pairs), n, tile);
                }
            });
        }
    }

    /// Adds the products of `n` pairs with `M` rows, which are `stride` pairs apart.
    ///
    /// # Safety
    /// As [`panel`]; everything named is there.
    #[inline(always)]
    unsafe fn add<const M: usize>(
        weights: *const u8,
        (x, stride): (*const u32, usize),
        n: usize,
        tile: *mut f32,
    ) {
        // SAFETY: this function's own condition; no access needs alignment.
        unsafe {
            let mut sums: [[__m512; 2]; M] = std::array::from_fn(|m| {
                let row = tile.add(m * WIDTH);
                [_mm512_loadu_ps(row), _mm512_loadu_ps(row.add(16))]
            });
            for i in 0..n {
                let at = weights.add(i * PAIR_BYTES);
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + 64).cast());
                let (low, high) = (load(at), load(at.add(64)));
                for (m, sums) in sums.iter_mut().enumerate() {
                    let x = _mm512_set1_epi32((*x.add(m * stride + i)).cast_signed());
                    let x: __m512bh = std::mem::transmute(x);
                    sums[0] = _mm512_dpbf16_ps(sums[0], low, x);
                    sums[1] = _mm512_dpbf16_ps(sums[1], high, x);
                }
            }
            for (m, sums) in sums.iter().enumerate() {
                let row = tile.add(m * WIDTH);
                _mm512_storeu_ps(row, sums[0]);
                _mm512_storeu_ps(row.add(16), sums[1]);
            }
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> __m512bh {
        // SAFETY: the caller's condition: 64 bytes follow.
        unsafe { std::mem::transmute(_mm512_loadu_si512(from.cast())) }
    }
}

//! One panel times rows of activations.

use std::marker::PhantomData;

use crate::simd::rows::{Ahead, Row, WIDTH, add_rows, add_wide_rows, in_groups};
use crate::simd::{Kernel, Simd};

/// Inputs after which the next rows of activations have their turn: their weights stay in the
/// first-level cache meanwhile, widened to `f32` or not.
const INPUTS: usize = 128;

/// How far ahead of their use weights are asked for, in bytes.
const AHEAD: isize = 4096;

/// The arguments; `R` stands for the format of the weights.
pub(super) struct Panel<'a, R> {
    /// `[k]` rows of 32 weights.
    weights: &'a [u8],
    k: usize,
    /// `[n, k]`
    x: &'a [f32],
    /// `[n, 32]`
    tile: &'a mut [f32],
    format: PhantomData<R>,
}

impl<'a, R: Row> Panel<'a, R> {
    /// # Panics
    /// If the sizes do not fit.
    pub(super) fn new(weights: &'a [u8], k: usize, x: &'a [f32], tile: &'a mut [f32]) -> Self {
        assert!(weights.len() == k * R::BYTES && x.len() == tile.len() / WIDTH * k);
        Self {
            weights,
            k,
            x,
            tile,
            format: PhantomData,
        }
    }
}

impl<R: Row> Kernel for Panel<'_, R> {
    type Output = ();

    fn scalar(self) {
        self.tile.fill(0.0);
        for (n, sums) in self.tile.chunks_exact_mut(WIDTH).enumerate() {
            let x = &self.x[n * self.k..][..self.k];
            for (x, weights) in x.iter().zip(self.weights.chunks_exact(R::BYTES)) {
                for (lane, sum) in sums.iter_mut().enumerate() {
                    *sum += x * R::get(weights, lane);
                }
            }
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, s: S) {
        self.tile.fill(0.0);
        // Up to two groups of rows read the weights as they are stored.
        if self.tile.len() / WIDTH <= 2 * S::DIRECT_GROUP {
            self.direct(s);
        } else {
            self.widened(s);
        }
    }
}

impl<R: Row> Panel<'_, R> {
    #[inline(always)]
    fn direct<S: Simd>(self, s: S) {
        let n = self.tile.len() / WIDTH;
        // A single group goes through in one piece.
        let step = if n <= S::DIRECT_GROUP {
            self.k.max(1)
        } else {
            INPUTS
        };
        let (x, tile) = (self.x.as_ptr(), self.tile.as_mut_ptr());
        for first_input in (0..self.k).step_by(step) {
            let n_inputs = step.min(self.k - first_input);
            in_groups!(n, DIRECT_GROUP, |M, first| {
                // SAFETY: `M` rows of `x` and of the tile follow `first`, and `n_inputs` values
                // and rows of weights follow `first_input`.
                unsafe {
                    let mut sums = [s.splat_32(0.0); M];
                    for (m, sum) in sums.iter_mut().enumerate() {
                        *sum = s.load_32(tile.add((first + m) * WIDTH));
                    }
                    let x = (x.add(first * self.k + first_input), self.k);
                    let weights = self.weights.as_ptr().add(first_input * R::BYTES);
                    add_rows::<S, R, M>(s, &mut sums, x, weights, n_inputs, AHEAD);
                    for (m, sum) in sums.into_iter().enumerate() {
                        s.store_32(tile.add((first + m) * WIDTH), sum);
                    }
                }
            });
        }
    }

    #[inline(always)]
    fn widened<S: Simd>(self, s: S) {
        let n = self.tile.len() / WIDTH;
        let mut widened = Widened([0.0; INPUTS * WIDTH]);
        let (x, tile) = (self.x.as_ptr(), self.tile.as_mut_ptr());
        for first_input in (0..self.k).step_by(INPUTS) {
            let n_inputs = INPUTS.min(self.k - first_input);
            let weights = &self.weights[first_input * R::BYTES..][..n_inputs * R::BYTES];
            let rows = weights.chunks_exact(R::BYTES);
            for (from, to) in rows.zip(widened.0.chunks_exact_mut(WIDTH)) {
                // SAFETY: a row each.
                unsafe {
                    s.store_32(to.as_mut_ptr(), R::load(s, from.as_ptr()));
                }
            }
            let next = weights.as_ptr().wrapping_add(weights.len());
            let weights = widened.0.as_ptr();
            in_groups!(n, WIDE_GROUP, |M, first| {
                // SAFETY: `M` rows of `x` and of the tile follow `first`, `n_inputs` values of `x`
                // follow `first_input`, and as many rows were widened.
                unsafe {
                    let x = (x.add(first * self.k + first_input), self.k);
                    let sums = (tile.add(first * WIDTH), WIDTH);
                    let ahead = Ahead::rows(next, R::BYTES).only_if(first == 0);
                    add_wide_rows::<S, M>(s, sums, None, x, weights, n_inputs, ahead);
                }
            });
        }
    }
}

/// Weights as `f32`, 16 kB.
#[repr(align(64))]
struct Widened([f32; INPUTS * WIDTH]);

//! Rotary position encoding.

use crate::Isa;
use crate::simd::{self, Kernel, Simd};

/// Which two dimensions of a head turn together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairs {
    /// Dimension i and dimension i + n/2, of the n that turn.
    Halves,
    /// Dimensions 2i and 2i + 1.
    Interleaved,
}

/// Turns the first `2 * cos.len()` dimensions of each head of a token; the others stay.
///
/// `heads` is `[n_heads, head_dim]`; `cos` and `sin` hold one value for each pair, at the token's
/// position. (Su et al. 2021, <https://arxiv.org/abs/2104.09864>, equation 34.)
///
/// # Panics
/// If `cos` and `sin` differ in length, a head has fewer dimensions than turn, or `heads` is not a
/// whole number of heads.
pub fn rope(
    isa: Isa,
    pairs: RopePairs,
    cos: &[f32],
    sin: &[f32],
    heads: &mut [f32],
    head_dim: usize,
) {
    assert_eq!(cos.len(), sin.len(), "a cosine and a sine for each pair");
    assert!(2 * cos.len() <= head_dim, "more turns than the head has");
    if cos.is_empty() {
        return;
    }
    assert!(heads.len().is_multiple_of(head_dim), "whole heads");
    for head in heads.chunks_exact_mut(head_dim) {
        let turning = &mut head[..2 * cos.len()];
        match pairs {
            RopePairs::Halves => simd::run(isa, Halves { cos, sin, turning }),
            RopePairs::Interleaved => simd::run(isa, Interleaved { cos, sin, turning }),
        }
    }
}

struct Halves<'a> {
    cos: &'a [f32],
    sin: &'a [f32],
    turning: &'a mut [f32],
}

impl Kernel for Halves<'_> {
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        let (a, b) = self.turning.split_at_mut(self.cos.len());
        let turns = self.cos.iter().zip(self.sin);
        for ((a, b), (cos, sin)) in a.iter_mut().zip(b).zip(turns) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

struct Interleaved<'a> {
    cos: &'a [f32],
    sin: &'a [f32],
    turning: &'a mut [f32],
}

impl Kernel for Interleaved<'_> {
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        let turns = self.cos.iter().zip(self.sin);
        for ([a, b], (cos, sin)) in self.turning.as_chunks_mut().0.iter_mut().zip(turns) {
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

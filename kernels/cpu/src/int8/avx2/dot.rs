//! Products of bytes, summed by fours: what processors differ in.
#![allow(unsafe_op_in_unsafe_fn)]
// Vectors of several rows are walked in step.
#![allow(clippy::needless_range_loop)]

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use super::formats::Format;
use super::product::{Rows, SubBlock};

/// A way to multiply.
pub(in crate::int8) trait Dot {
    /// `Σ codes[row][i] × x[t][i]` over the fours of a sub-block that are at `places`, for eight rows
    /// of weights and `T` of activations.
    ///
    /// # Safety
    /// The machine has AVX2, and what this way needs; the sub-block is inside `rows`.
    unsafe fn dots<F: Format, const T: usize>(
        block: impl SubBlock,
        rows: &Rows<T>,
        sub_idx: usize,
        places: Range<usize>,
    ) -> [__m256i; T];
}

/// What is multiplied: unsigned, signed. The sign of a weight goes to the activation.
#[inline(always)]
unsafe fn factors<F: Format>(codes: __m256i, x: __m256i) -> (__m256i, __m256i) {
    if F::SIGNED {
        (_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
    } else {
        (codes, x)
    }
}

/// With instructions of AVX2: products are added in pairs to 16 bits, as many as the format's codes
/// allow, then in fours.
pub(in crate::int8) enum Maddubs {}

impl Dot for Maddubs {
    #[inline(always)]
    unsafe fn dots<F: Format, const T: usize>(
        block: impl SubBlock,
        rows: &Rows<T>,
        sub_idx: usize,
        places: Range<usize>,
    ) -> [__m256i; T] {
        let mut dots = [_mm256_setzero_si256(); T];
        let mut first = places.start;
        while first < places.end {
            let mut pairs = [_mm256_setzero_si256(); T];
            for s in first..first + F::SUMS_IN_16_BITS {
                let codes = block.codes(s);
                for t in 0..T {
                    let (codes, x) = factors::<F>(codes, rows.four(t, sub_idx, s));
                    pairs[t] = _mm256_add_epi16(pairs[t], _mm256_maddubs_epi16(codes, x));
                }
            }
            for t in 0..T {
                let dot = _mm256_madd_epi16(pairs[t], _mm256_set1_epi16(1));
                dots[t] = _mm256_add_epi32(dots[t], dot);
            }
            first += F::SUMS_IN_16_BITS;
        }
        dots
    }
}

/// Defines a way to multiply with one instruction that does all.
macro_rules! fused {
    ($(#[$doc:meta])* $name:ident: $instruction:literal) => {
        $(#[$doc])*
        pub(in crate::int8) enum $name {}

        impl $name {
            // As text, so that it can stand in functions for which it is not enabled.
            #[inline]
            #[target_feature(enable = "avx2")]
            unsafe fn add(mut sums: __m256i, codes: __m256i, x: __m256i) -> __m256i {
                asm!(
                    $instruction,
                    sums = inout(ymm_reg) sums,
                    codes = in(ymm_reg) codes,
                    x = in(ymm_reg) x,
                    options(pure, nomem, nostack, preserves_flags),
                );
                sums
            }
        }

        impl Dot for $name {
            #[inline(always)]
            unsafe fn dots<F: Format, const T: usize>(
                block: impl SubBlock,
                rows: &Rows<T>,
                sub_idx: usize,
                places: Range<usize>,
            ) -> [__m256i; T] {
                let mut dots = [_mm256_setzero_si256(); T];
                for s in places {
                    let codes = block.codes(s);
                    for t in 0..T {
                        let (codes, x) = factors::<F>(codes, rows.four(t, sub_idx, s));
                        dots[t] = Self::add(dots[t], codes, x);
                    }
                }
                dots
            }
        }
    };
}

fused! {
    /// With the instruction of AVX-VNNI.
    Dpbusd: "{{vex}} vpdpbusd {sums}, {codes}, {x}"
}

#[cfg(test)]
fused! {
    /// The same instruction as AVX-512 encodes it, for machines that have it only so.
    DpbusdOfAvx512: "{{evex}} vpdpbusd {sums}, {codes}, {x}"
}

//! Rows of 32 small whole numbers, two and two, and their products with 16-bit factors.
//!
//! The twin of [`rows`](super::rows) for quantized numbers: a processor multiplies two pairs of
//! 16-bit numbers and adds the products in one instruction. So the two rows of a pair lie
//! interleaved, lane by lane, and factors are rounded to 16 bits, which loses nothing beside
//! numbers of 8 or 4 bits.

use super::Simd;
use super::rows::WIDTH;

/// Largest size of a factor. With codes of 8 bits, 32 products stay far below 2³¹.
pub(crate) const MAX_FACTOR: f32 = 32767.0;

/// How two rows of 32 codes lie in memory.
pub(crate) trait Pairs: Copy {
    /// Bytes of two rows.
    const BYTES: usize;
    /// What is added to a code when it is stored.
    const BIAS: i32;

    /// The codes with their bias.
    ///
    /// # Safety
    /// `from` is valid for reading [`Self::BYTES`].
    unsafe fn load<S: Simd>(s: S, from: *const u8) -> S::Pairs;

    /// One code, as it is stored.
    fn get(pair: &[u8], row: usize, lane: usize) -> i32;

    /// Stores the lowest bits of a code that has its bias.
    fn put(pair: &mut [u8], row: usize, lane: usize, code: i32);
}

/// Signed bytes.
#[derive(Clone, Copy)]
pub(crate) enum I8 {}

impl Pairs for I8 {
    const BYTES: usize = 2 * WIDTH;
    const BIAS: i32 = 0;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const u8) -> S::Pairs {
        // SAFETY: this function's own condition.
        unsafe { s.load_pairs_i8(from) }
    }

    #[inline(always)]
    fn get(pair: &[u8], row: usize, lane: usize) -> i32 {
        i32::from(pair[2 * lane + row].cast_signed())
    }

    #[inline(always)]
    fn put(pair: &mut [u8], row: usize, lane: usize, code: i32) {
        pair[2 * lane + row] = code as u8;
    }
}

/// Numbers from -8 to 7, stored with 8 added. Lanes i, i + 8, i + 16 and i + 24 share a word of 16
/// bits, the first lowest: so that shifts and masks alone make 16-bit numbers of them.
#[derive(Clone, Copy)]
pub(crate) enum I4 {}

impl I4 {
    /// Byte and bit of a code.
    #[inline(always)]
    fn place(row: usize, lane: usize) -> (usize, usize) {
        let word = 2 * (lane % 8) + row;
        let bit = 4 * (lane / 8);
        let byte = if cfg!(target_endian = "little") {
            bit / 8
        } else {
            1 - bit / 8
        };
        (2 * word + byte, bit % 8)
    }
}

impl Pairs for I4 {
    const BYTES: usize = WIDTH;
    const BIAS: i32 = 8;

    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, from: *const u8) -> S::Pairs {
        // SAFETY: this function's own condition.
        unsafe { s.load_pairs_u4(from) }
    }

    #[inline(always)]
    fn get(pair: &[u8], row: usize, lane: usize) -> i32 {
        let (byte, bit) = Self::place(row, lane);
        i32::from(pair[byte] >> bit & 15)
    }

    #[inline(always)]
    fn put(pair: &mut [u8], row: usize, lane: usize, code: i32) {
        let (byte, bit) = Self::place(row, lane);
        pair[byte] = pair[byte] & !(15 << bit) | (code as u8 & 15) << bit;
    }
}

/// 32 factors, rounded.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Factors {
    pub(crate) codes: [i16; WIDTH],
    /// The value of a code of 1.
    pub(crate) scale: f32,
    /// The sum of all codes, for rows that have a bias.
    pub(crate) sum: i32,
}

impl Factors {
    /// Of zeros.
    pub(crate) const ZERO: Self = Self {
        codes: [0; WIDTH],
        scale: 0.0,
        sum: 0,
    };

    /// Rounds 32 factors of rows of a type; the largest becomes the largest code.
    #[inline(always)]
    pub(crate) fn round<S: Simd, P: Pairs>(s: S, factors: &[f32; WIDTH]) -> Self {
        let from = factors.as_ptr();
        let mut largest = s.splat(0.0);
        for i in (0..WIDTH).step_by(S::LANES) {
            // SAFETY: 32 values are a whole number of registers.
            largest = s.max(largest, s.abs(unsafe { s.load(from.add(i)) }));
        }
        let largest = s.largest(largest);
        let mut rounded = Self::ZERO;
        if largest > 0.0 {
            // SAFETY: 32 values each.
            unsafe { s.round_i16(from, MAX_FACTOR / largest, rounded.codes.as_mut_ptr()) };
            rounded.scale = largest / MAX_FACTOR;
        }
        if P::BIAS != 0 {
            rounded.sum = rounded.codes.iter().map(|&code| i32::from(code)).sum();
        }
        rounded
    }
}

/// `Σ factors[m][i] * code[i]`, in units of the factors' scales, for up to 32 rows that follow each
/// other as pairs. Factors past the last row are 0.
///
/// # Safety
/// `pairs` is valid for reading `n` pairs of rows, at most 16.
#[inline(always)]
pub(crate) unsafe fn multiply_pairs<S: Simd, P: Pairs, const M: usize>(
    s: S,
    factors: [&Factors; M],
    pairs: *const u8,
    n: usize,
    ahead: isize,
) -> [S::X32; M] {
    let mut sums = [s.splat_i32(0); M];
    for (sum, factors) in sums.iter_mut().zip(factors) {
        *sum = s.splat_i32(-P::BIAS * factors.sum);
    }
    for i in 0..n {
        // SAFETY: pairs are inside what this function's condition names, factors are 16 pairs.
        unsafe {
            let at = pairs.add(i * P::BYTES);
            s.prefetch(at.wrapping_offset(ahead));
            let codes = P::load(s, at);
            for (sum, factors) in sums.iter_mut().zip(factors) {
                *sum = s.pairs_add(factors.codes.as_ptr().add(2 * i), codes, *sum);
            }
        }
    }
    let mut products = [s.splat_32(0.0); M];
    for (product, sum) in products.iter_mut().zip(sums) {
        *product = s.i32_to_f32(sum);
    }
    products
}

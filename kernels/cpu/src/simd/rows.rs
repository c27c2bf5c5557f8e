//! Rows of 32 values in several types, and the loop that everything heavy comes down to: a sum
//! of such rows, each times its own factor.
//!
//! A panel of a matrix is a list of rows (one per input, the lanes are outputs), and so are the
//! keys of a cache block (one per dimension, the lanes are tokens) and its values (one per
//! token, the lanes are dimensions). Lanes never meet, so the order of additions is the order of
//! the rows, whatever the instruction set and however many results are computed together.

use super::Simd;

/// Lanes of a row.
pub(crate) const WIDTH: usize = 32;

/// How a row of 32 values lies in memory.
pub(crate) trait Row: Copy {
    /// Bytes of a row.
    const BYTES: usize;

    /// # Safety
    /// `from` is valid for reading [`Self::BYTES`].
    unsafe fn load<S: Simd>(s: S, from: *const u8) -> S::X32;

    /// The value of one lane.
    fn get(row: &[u8], lane: usize) -> f32;
}

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident: $bytes:literal bytes, $load:ident, $get:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) enum $name {}

        impl Row for $name {
            const BYTES: usize = $bytes;

            #[inline(always)]
            unsafe fn load<S: Simd>(s: S, from: *const u8) -> S::X32 {
                // SAFETY: this function's own condition.
                unsafe { s.$load(from.cast()) }
            }

            #[inline(always)]
            fn get(row: &[u8], lane: usize) -> f32 {
                let get: fn(&[u8], usize) -> f32 = $get;
                get(row, lane)
            }
        }
    )*};
}

rows! {
    /// `f32`, native byte order.
    F32: 128 bytes, load_32, |row, lane| f32::from_ne_bytes(row.as_chunks().0[lane]);
    /// Half precision.
    F16: 64 bytes, load_32_f16, |row, lane| {
        half::f16::from_ne_bytes(row.as_chunks().0[lane]).to_f32()
    };
    /// bfloat16. Lane i and lane i + 16 share a word of 32 bits, the former below: so each half
    /// becomes `f32` by one shift or mask.
    Bf16: 64 bytes, load_32_bf16, |row, lane| {
        let place = bf16_place(lane);
        half::bf16::from_ne_bytes(row.as_chunks().0[place]).to_f32()
    };
    /// Signed bytes.
    I8: 32 bytes, load_32_i8, |row, lane| f32::from(row[lane].cast_signed());
    /// Values from 0 to 15. Lane i and lane i + 16 share a byte, the former below.
    U4: 16 bytes, load_32_u4, |row, lane| f32::from(row[lane % 16] >> (lane / 16 * 4) & 15);
}

/// Where among the 32 places of 2 bytes a lane of [`Bf16`] lies.
#[inline(always)]
pub(crate) fn bf16_place(lane: usize) -> usize {
    if cfg!(target_endian = "little") {
        lane % 16 * 2 + lane / 16
    } else {
        lane % 16 * 2 + 1 - lane / 16
    }
}

/// Rows of factors that one pass over the rows serves: as many as leave all sums in registers.
pub(crate) const GROUP: usize = 3;

/// `sums[m] += Σ factors[m][i] * row[i]` for `n` rows that follow each other, in their order.
///
/// `ahead` is how many bytes before its use a cache line is asked for.
///
/// # Safety
/// `factors` is valid for reading `n` values at each multiple of `stride` below `M * stride`,
/// `rows` for reading `n` rows.
#[inline(always)]
pub(crate) unsafe fn add_rows<S: Simd, R: Row, const M: usize>(
    s: S,
    sums: &mut [S::X32; M],
    (factors, stride): (*const f32, usize),
    rows: *const u8,
    n: usize,
    ahead: isize,
) {
    let mut local = *sums;
    for i in 0..n {
        // SAFETY: row and factors are inside what this function's condition names.
        unsafe {
            let at = rows.add(i * R::BYTES);
            if ahead != 0 {
                s.prefetch(at.wrapping_offset(ahead));
            }
            let row = R::load(s, at);
            for (m, sum) in local.iter_mut().enumerate() {
                let factor = s.splat(*factors.add(m * stride + i));
                *sum = s.scale_add_32(factor, row, *sum);
            }
        }
    }
    *sums = local;
}

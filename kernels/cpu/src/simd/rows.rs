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

/// Runs a block of code for groups of `n` things, as equal as can be and no larger than a constant
/// (or the one of that name of `S`, the [`Simd`] of the caller): `$m` is a constant with the size
/// of the group, `$first` the index of its first.
macro_rules! in_groups {
    ($n:expr, DIRECT_GROUP, |$m:ident, $first:ident| $body:block) => {
        in_groups!($n, S::DIRECT_GROUP; 1 2 3 4, |$m, $first| $body)
    };
    ($n:expr, WIDE_GROUP, |$m:ident, $first:ident| $body:block) => {
        in_groups!($n, S::WIDE_GROUP; 1 2 3 4 5 6 7 8, |$m, $first| $body)
    };
    ($n:expr, $max:expr; $($size:literal)*, |$m:ident, $first:ident| $body:block) => {{
        let n: usize = $n;
        let n_groups = n.div_ceil($max);
        let mut $first = 0;
        for group in 0..n_groups {
            let size = n / n_groups + usize::from(group < n % n_groups);
            match size {
                // A constant, so that larger groups are not even compiled.
                $($size if const { $size <= $max } => {
                    const $m: usize = $size;
                    $body
                })*
                _ => unreachable!("the groups are as equal as can be"),
            }
            $first += size;
        }
    }};
}
pub(crate) use in_groups;

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
            for line in 0..R::BYTES / 64 {
                s.prefetch(at.wrapping_offset(ahead).wrapping_add(line * 64));
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

/// Memory to ask for on the way, since it is read after the loop.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    address: *const u8,
    step: usize,
}

impl Ahead {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        address: std::ptr::null(),
        step: 0,
    };

    /// As many rows as the loop has; any address is allowed.
    pub(crate) fn rows(address: *const u8, row_bytes: usize) -> Self {
        Self {
            address,
            step: row_bytes / 2,
        }
    }

    /// Nothing unless a condition holds: one of many passes over the same rows is enough.
    #[inline(always)]
    pub(crate) fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }

    /// Called for each half row.
    #[inline(always)]
    fn next<S: Simd>(&mut self, s: S) {
        if self.step > 0 {
            s.prefetch(self.address);
            self.address = self.address.wrapping_add(self.step);
        }
    }
}

/// The same for rows of `f32` and for sums in memory, at each multiple of their own stride; what
/// is there is multiplied by `scales` first, where given.
///
/// # Safety
/// As above; `sums` is valid for reading and writing `M` rows of 32 values at their stride, and
/// `scales`, where given, for reading `M` values.
#[inline(always)]
pub(crate) unsafe fn add_wide_rows<S: Simd, const M: usize>(
    s: S,
    (sums, sums_stride): (*mut f32, usize),
    scales: Option<*const f32>,
    (factors, stride): (*const f32, usize),
    rows: *const f32,
    n: usize,
    ahead: Ahead,
) {
    let mut ahead = ahead;
    for half in [0, WIDTH / 2] {
        // SAFETY: halves of rows inside what this function's condition names.
        unsafe {
            let (sums, rows) = (sums.add(half), rows.add(half));
            let mut local = [s.splat_16(0.0); M];
            for (m, local) in local.iter_mut().enumerate() {
                *local = s.load_16(sums.add(m * sums_stride));
                if let Some(scales) = scales {
                    *local = s.scale_16(*scales.add(m), *local);
                }
            }
            for i in 0..n {
                ahead.next(s);
                let row = s.load_16(rows.add(i * WIDTH));
                for (m, sum) in local.iter_mut().enumerate() {
                    let factor = s.splat(*factors.add(m * stride + i));
                    *sum = s.scale_add_16(factor, row, *sum);
                }
            }
            for (m, local) in local.into_iter().enumerate() {
                s.store_16(sums.add(m * sums_stride), local);
            }
        }
    }
}

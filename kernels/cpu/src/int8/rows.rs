//! Activations, rounded.

use super::layout::SUB;
use super::scalar;
use super::twice::{self, Twice};
use crate::Isa;
use crate::threads::{SharedSlice, Threads};

/// Rows that lie interleaved, so that a kernel for that many rows walks along one address.
pub(super) const GROUP: usize = 8;

/// Rows of activations as `scale × code`, with a scale for each 32 values.
///
/// Every eight rows lie interleaved: four codes of each row in turn, one scale of
/// each row in turn. What is left over lies row after row. Blocks that outweigh their row are
/// rounded twice.
#[derive(Debug, Default)]
pub struct Int8Rows {
    n: usize,
    k: usize,
    /// `[n, k]`, within ±127
    codes: Vec<i8>,
    /// `[n, k / 32]`
    scales: Vec<f32>,
    /// `[n, k / 16]`: the sums of the rounded values, by 16.
    sums_16: Vec<f32>,
    /// `[n, k / 32]`: the same by 32.
    sums_32: Vec<f32>,
    /// `[n, k / 16]`: minus the sums of the codes, by 16. Where sums of products begin if their
    /// weights are larger by one than they should be.
    starts_16: Vec<i32>,
    /// The same by 32.
    starts_32: Vec<i32>,
    twice: Twice,
}

/// What a group of rows, or one row of the rest, begins with.
#[derive(Clone, Copy)]
#[allow(dead_code)] // Not every instruction set reads all of them.
pub(super) struct Parts<'a> {
    pub(super) codes: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) sums_16: &'a [f32],
    pub(super) sums_32: &'a [f32],
    pub(super) starts_16: &'a [i32],
    pub(super) starts_32: &'a [i32],
}

impl Int8Rows {
    /// Takes in `x`, `[n, k]` with `k` a multiple of 32. What was there before is replaced.
    ///
    /// # Panics
    /// If `x` is not a whole number of such rows.
    pub fn quantize(&mut self, isa: Isa, threads: &Threads, x: &[f32], k: usize) {
        assert!(isa.is_available(), "this machine has no {}", isa.name());
        assert!(k.is_multiple_of(SUB) && x.len().is_multiple_of(k.max(1)));
        let n = x.len().checked_div(k).unwrap_or(0);
        (self.n, self.k) = (n, k);
        self.codes.resize(n * k, 0);
        self.scales.resize(n * k / SUB, 0.0);
        self.sums_16.resize(n * k / 16, 0.0);
        self.sums_32.resize(n * k / SUB, 0.0);
        self.starts_16.resize(n * k / 16, 0);
        self.starts_32.resize(n * k / SUB, 0);
        let codes = SharedSlice::new(&mut self.codes);
        let scales = SharedSlice::new(&mut self.scales);
        let sums_16 = SharedSlice::new(&mut self.sums_16);
        let sums_32 = SharedSlice::new(&mut self.sums_32);
        let starts_16 = SharedSlice::new(&mut self.starts_16);
        let starts_32 = SharedSlice::new(&mut self.starts_32);
        let one_group = |group: usize, _: usize| {
            let rows = group * GROUP..n.min((group + 1) * GROUP);
            let values = rows.start * k..rows.end * k;
            let subs = values.start / SUB..values.end / SUB;
            let place = Place::new(rows.len());
            // SAFETY: each task has rows of its own.
            let (codes, scales, sums_16, sums_32, starts_16, starts_32) = unsafe {
                (
                    codes.part(values.clone()),
                    scales.part(subs.clone()),
                    sums_16.part(2 * subs.start..2 * subs.end),
                    sums_32.part(subs.clone()),
                    starts_16.part(2 * subs.start..2 * subs.end),
                    starts_32.part(subs),
                )
            };
            let words = codes.as_chunks_mut::<4>().0;
            for (row, x) in x[values].chunks_exact(k).enumerate() {
                for (sub, x) in x.as_chunks::<SUB>().0.iter().enumerate() {
                    let rounded = round(isa, x);
                    for (s, four) in rounded.codes.into_iter().enumerate() {
                        words[place.at(row, sub * 8 + s, k / 4)] = four;
                    }
                    let scale = rounded.scale;
                    let counts = rounded.sums;
                    let sums = counts.map(|count| scale * count as f32);
                    let at = place.at(row, sub, k / SUB);
                    scales[at] = scale;
                    sums_32[at] = sums[0] + sums[1];
                    starts_32[at] = -counts[0] - counts[1];
                    for half in 0..2 {
                        let at = place.at(row, 2 * sub + half, k / 16);
                        sums_16[at] = sums[half];
                        starts_16[at] = -counts[half];
                    }
                }
            }
        };
        match n.div_ceil(GROUP) {
            0 => {}
            1 => one_group(0, 0),
            n_groups => threads.run(n_groups, &one_group),
        }
        self.round_twice(isa, x);
    }

    fn round_twice(&mut self, isa: Isa, x: &[f32]) {
        let mut twice = std::mem::take(&mut self.twice);
        twice.clear();
        let n_subs = self.k / SUB;
        for row in 0..self.n {
            let scales = (0..n_subs).map(|sub| self.scale(row, sub));
            let limit = twice::limit(scales.clone());
            for (sub, _) in scales.enumerate().filter(|(_, scale)| *scale > limit) {
                let (codes, scale, _) = self.sub(row, sub);
                let x = &x[row * self.k + sub * SUB..][..SUB];
                let rest = std::array::from_fn(|i| x[i] - scale * f32::from(codes[i]));
                twice.push(twice::Place { row, sub }, &round(isa, &rest));
            }
        }
        self.twice = twice;
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

    /// The blocks that were rounded twice.
    pub(super) fn twice(&self) -> &Twice {
        &self.twice
    }

    fn scale(&self, row: usize, sub: usize) -> f32 {
        let first = row / GROUP * GROUP;
        let place = Place::new(self.n - first);
        self.scales[first * self.k / SUB + place.at(row - first, sub, self.k / SUB)]
    }

    /// 32 codes, their scale, and the sums of each 16 rounded values.
    pub(super) fn sub(&self, row: usize, sub: usize) -> ([i8; SUB], f32, [f32; 2]) {
        let first = row / GROUP * GROUP;
        let parts = self.parts(first);
        let (row, k) = (row - first, self.k);
        let place = Place::new(self.n - first);
        let code = |i: usize| parts.codes[4 * place.at(row, sub * 8 + i / 4, k / 4) + i % 4];
        let sum = |half: usize| parts.sums_16[place.at(row, 2 * sub + half, k / 16)];
        (
            std::array::from_fn(code),
            self.scale(first + row, sub),
            [sum(0), sum(1)],
        )
    }

    /// Everything from a row on: the first of a group, or one of the rest.
    pub(super) fn parts(&self, row: usize) -> Parts<'_> {
        let at = row * self.k;
        Parts {
            codes: &self.codes[at..],
            scales: &self.scales[at / SUB..],
            sums_16: &self.sums_16[at / 16..],
            sums_32: &self.sums_32[at / SUB..],
            starts_16: &self.starts_16[at / 16..],
            starts_32: &self.starts_32[at / SUB..],
        }
    }
}

/// Where a row's `i`-th element of `len` is, interleaved or not.
#[derive(Clone, Copy)]
struct Place {
    interleaved: bool,
}

impl Place {
    fn new(n_rows: usize) -> Self {
        Self {
            interleaved: n_rows >= GROUP,
        }
    }

    #[inline(always)]
    fn at(self, row: usize, i: usize, len: usize) -> usize {
        if self.interleaved {
            i * GROUP + row
        } else {
            row * len + i
        }
    }
}

/// 32 values as `scale × code`.
pub(super) struct Rounded {
    /// Four at a time, as they are stored.
    pub(super) codes: [[i8; 4]; 8],
    pub(super) scale: f32,
    /// Sums of the first and of the second 16 codes.
    pub(super) sums: [i32; 2],
}

#[inline(always)]
fn round(isa: Isa, x: &[f32; SUB]) -> Rounded {
    match isa {
        Isa::Scalar => scalar::round(x),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => super::avx2::round(x),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => super::avx512::round(x),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon | Isa::NeonDot => super::neon::round(x),
        #[allow(unreachable_patterns)] // Each architecture lacks those of the others.
        _ => unreachable!("available, checked by the caller"),
    }
}

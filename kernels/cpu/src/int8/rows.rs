//! Activations, rounded.

use std::ops::Range;

use super::blocks::{Block, Blocks, GROUP, Parts, Rounded, SharedBlocks, Spot};
use super::layout::SUB;
use super::scalar;
use super::twice::{Again, Find, Twice};
use crate::Isa;
use crate::simd::{self, Kernel, Simd};
use crate::threads::Threads;

/// Rows of activations as `scale × code`, with a scale for each 32 values. Blocks that outweigh
/// their row are rounded twice.
#[derive(Debug, Default)]
pub struct Int8Rows {
    n: usize,
    k: usize,
    /// `[n, k / 32]`
    blocks: Blocks,
    twice: Twice,
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
        let shape = [n, k / SUB];
        self.blocks.resize(n * k / SUB);
        let blocks = self.blocks.shared();
        let found = self.twice.find(shape);
        each_group(threads, n, &|group, _| {
            let round = RoundGroup {
                isa,
                x,
                shape,
                group,
                blocks: &blocks,
                found: &found,
            };
            simd::run(isa, round);
        });
        if self.twice.make_room(shape) == 0 {
            return;
        }
        let again = self.twice.again();
        each_group(threads, n, &|group, _| {
            let round = RoundAgain {
                isa,
                x,
                shape,
                group,
                blocks: &self.blocks,
                again: &again,
            };
            simd::run(isa, round);
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

    /// The blocks that were rounded twice.
    #[inline(always)]
    pub(super) fn twice(&self) -> &Twice {
        &self.twice
    }

    /// A block after the first rounding.
    pub(super) fn sub(&self, row: usize, sub: usize) -> Block {
        self.blocks.get(Spot::new([self.n, self.k / SUB], row, sub))
    }

    /// Everything from a row on: the first of a group, or one of the rest.
    pub(super) fn parts(&self, row: usize) -> Parts<'_> {
        self.blocks.parts(row * (self.k / SUB))
    }
}

/// Calls `work` for each group of rows: on this thread where there is only one.
fn each_group(threads: &Threads, n: usize, work: &(dyn Fn(usize, usize) + Sync)) {
    match n.div_ceil(GROUP) {
        0 => {}
        1 => work(0, 0),
        n_groups => threads.run(n_groups, work),
    }
}

/// The first rounding of a group of rows.
struct RoundGroup<'a> {
    isa: Isa,
    x: &'a [f32],
    shape: [usize; 2],
    group: usize,
    blocks: &'a SharedBlocks<'a>,
    found: &'a Find<'a>,
}

impl Kernel for RoundGroup<'_> {
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        let shape @ [n, n_subs] = self.shape;
        let rows = rows_of(self.group, n);
        for row in rows.clone() {
            let x = self.x.as_chunks::<SUB>().0[row * n_subs..][..n_subs].iter();
            for (sub, x) in x.enumerate() {
                let rounded = round(self.isa, x);
                // SAFETY: each task has rows of its own.
                unsafe { self.blocks.put(Spot::new(shape, row, sub), &rounded) };
            }
        }
        // SAFETY: likewise.
        unsafe {
            let scales = self.blocks.scales(rows.start * n_subs..rows.end * n_subs);
            self.found.count(self.group, scales);
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

/// The second rounding of what needs it in a group of rows.
struct RoundAgain<'a> {
    isa: Isa,
    x: &'a [f32],
    shape: [usize; 2],
    group: usize,
    blocks: &'a Blocks,
    again: &'a Again<'a>,
}

impl Kernel for RoundAgain<'_> {
    type Output = ();

    #[inline(always)]
    fn scalar(self) {
        let shape @ [n, n_subs] = self.shape;
        let rows = rows_of(self.group, n);
        for sub in 0..n_subs {
            let mut places = self.again.places(self.group, sub);
            for row in rows.clone() {
                let spot = Spot::new(shape, row, sub);
                if !self.again.is_due(row, self.blocks.scale(spot)) {
                    continue;
                }
                let (codes, scale, _) = self.blocks.get(spot);
                let x = &self.x.as_chunks::<SUB>().0[row * n_subs + sub];
                let codes = codes.as_flattened();
                let rest = std::array::from_fn(|i| x[i] - scale * f32::from(codes[i]));
                // SAFETY: each task has a group of its own.
                unsafe { places.put(row, &round(self.isa, &rest)) };
            }
        }
    }

    #[inline(always)]
    fn simd<S: Simd>(self, _: S) {
        self.scalar();
    }
}

fn rows_of(group: usize, n: usize) -> Range<usize> {
    group * GROUP..n.min((group + 1) * GROUP)
}

#[inline(always)]
fn round(isa: Isa, x: &[f32; SUB]) -> Rounded {
    match isa {
        Isa::Scalar => scalar::round(x),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 | Isa::AvxVnni => super::avx2::round(x),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => super::avx512::round(x),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon | Isa::NeonDot => super::neon::round(x),
        #[allow(unreachable_patterns)] // Each architecture lacks those of the others.
        _ => unreachable!("available, checked by the caller"),
    }
}

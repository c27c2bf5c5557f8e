//! How kernels walk through a panel: the same for every instruction set.
//!
//! A row of activations has two sums: of its blocks as they were first rounded, and of those that
//! were [rounded twice](super::twice). Each is taken in the order of the blocks, and the two are
//! added at the end.
//!
//! - Few rows have both sums in registers; a block that was rounded twice meets the codes of its
//!   weights where they are unpacked.
//! - Of more rows, the second sums are in the tile: blocks of all rows that were rounded twice are
//!   added there first, up to eight at a time. It is a walk of its own, because the other would
//!   have too few registers beside it.
//!
//! [`walk`] defines this as functions of the module that calls it, from what that module has:
//! - `zero`, `load`, `store` and `plus`, for a number for each row of a panel;
//! - `Rows::<T>`, as many rows of activations;
//! - `Packed::<F>`, a block of weights with `new` and `prefetch`;
//! - `add`, the product of such a block with rows, added to their sums.

/// `few` and `groups` multiply a panel with all rows, `again` a block of weights with what was rounded
/// twice. All are as unsafe as what they are made of.
macro_rules! walk {
    (
        #[$compiled:meta]
        set: [$($set:ident: $bound:ident)?],
        panel: $panel:ident,
        block: $block:ty,
        again: $again:expr,
        rows: [$($size:literal: $some_rows:expr,)*],
    ) => {
        /// All `T` rows, which are no group.
        #[$compiled]
        unsafe fn few<$($set: $bound,)? F: Format, const T: usize>(
            panel: &[u8],
            x: &Int8Rows,
            tile: &mut [[f32; $panel]],
        ) {
            let rows = Rows::<T>::new(x.parts(0), x.k(), F::SIXTEENTHS);
            let twice = Rows::<1>::new(x.twice().parts(0), SUB, F::SIXTEENTHS);
            let mut sums = [zero(); T];
            let mut again = [zero(); T];
            let mut sub_idx = 0;
            for chunk in panel.chunks_exact(F::LAYOUT.chunk_bytes()) {
                for sub in 0..F::LAYOUT.subs() {
                    let block = Packed::<F>::new(chunk, sub);
                    block.prefetch();
                    add::<$($set,)? F, T>(&mut sums, block, &rows, sub_idx);
                    let mut blocks = x.twice().at(sub_idx);
                    for (t, sum) in again.iter_mut().enumerate() {
                        if x.twice().next_is(&blocks, t, T) {
                            let sum = std::array::from_mut(sum);
                            add::<$($set,)? F, 1>(sum, block, &twice, blocks.start);
                            blocks.start += 1;
                        }
                    }
                    sub_idx += 1;
                }
            }
            for t in 0..T {
                store(&mut tile[t], plus(sums[t], again[t]));
            }
        }

        /// Any number of rows.
        #[$compiled]
        unsafe fn groups<$($set: $bound,)? F: Format>(
            panel: &[u8],
            x: &Int8Rows,
            tile: &mut [[f32; $panel]],
        ) {
            tile.as_flattened_mut().fill(0.0);
            let mut sub_idx = 0;
            for chunk in panel.chunks_exact(F::LAYOUT.chunk_bytes()) {
                for sub in 0..F::LAYOUT.subs() {
                    if !x.twice().at(sub_idx).is_empty() {
                        $again(Packed::<F>::new(chunk, sub), x.twice(), sub_idx, tile);
                    }
                    sub_idx += 1;
                }
            }
            let mut n = 0;
            while n < x.n() {
                let left = x.n() - n;
                // The largest number that is not too large.
                n += $(if left >= $size { $some_rows(panel, x, n, tile) } else)* {
                    unreachable!("one is the smallest")
                };
            }
        }

        /// `T` rows from `row` on. Returns `T`.
        #[$compiled]
        unsafe fn some_rows<$($set: $bound,)? F: Format, const T: usize>(
            panel: &[u8],
            x: &Int8Rows,
            row: usize,
            tile: &mut [[f32; $panel]],
        ) -> usize {
            let rows = Rows::<T>::new(x.parts(row), x.k(), F::SIXTEENTHS);
            let mut sums = [zero(); T];
            let mut sub_idx = 0;
            for chunk in panel.chunks_exact(F::LAYOUT.chunk_bytes()) {
                for sub in 0..F::LAYOUT.subs() {
                    let block = Packed::<F>::new(chunk, sub);
                    if row == 0 {
                        block.prefetch();
                    }
                    add::<$($set,)? F, T>(&mut sums, block, &rows, sub_idx);
                    sub_idx += 1;
                }
            }
            for (tile, sum) in tile[row..row + T].iter_mut().zip(sums) {
                store(tile, plus(sum, load(tile)));
            }
            T
        }

        /// Adds the products of a block with the activations that were rounded twice.
        #[$compiled]
        pub(super) unsafe fn again<$($set: $bound,)? F: Format>(
            block: $block,
            twice: &Twice,
            sub_idx: usize,
            tile: &mut [[f32; $panel]],
        ) {
            let mut blocks = twice.at(sub_idx);
            while !blocks.is_empty() {
                let first = blocks.start;
                blocks.start += match blocks.len() {
                    1 => add_again::<$($set,)? F, 1>(block, twice, first, tile),
                    2 => add_again::<$($set,)? F, 2>(block, twice, first, tile),
                    3 => add_again::<$($set,)? F, 3>(block, twice, first, tile),
                    4..GROUP => add_again::<$($set,)? F, 4>(block, twice, first, tile),
                    _ => add_again::<$($set,)? F, GROUP>(block, twice, first, tile),
                };
            }
        }

        /// `T` blocks of activations from `first` on. Returns `T`.
        #[inline(always)]
        unsafe fn add_again<$($set: $bound,)? F: Format, const T: usize>(
            block: $block,
            twice: &Twice,
            first: usize,
            tile: &mut [[f32; $panel]],
        ) -> usize {
            let rows = Rows::<T>::new(twice.parts(first), SUB, F::SIXTEENTHS);
            let places = &twice.rows()[first..first + T];
            let mut sums = [zero(); T];
            for t in 0..T {
                sums[t] = load(&tile[places[t] as usize]);
            }
            add::<$($set,)? F, T>(&mut sums, block, &rows, 0);
            for t in 0..T {
                store(&mut tile[places[t] as usize], sums[t]);
            }
            T
        }
    };
}
pub(super) use walk;

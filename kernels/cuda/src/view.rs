use crate::{Arg, Memory};

/// Bytes of a float.
pub(crate) const FLOAT: usize = size_of::<f32>();

/// Rows of float32 in memory, as far apart as each other.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    memory: &'a Memory,
    first: usize,
    stride: usize,
}

impl<'a> View<'a> {
    /// Rows of `width` numbers, side by side from the beginning of `memory` on.
    pub fn new(memory: &'a Memory, width: usize) -> Self {
        Self::part(memory, 0, width)
    }

    /// Rows that begin at number `first`, `stride` numbers from one to the next: a part of the
    /// columns of wider rows, for example.
    pub fn part(memory: &'a Memory, first: usize, stride: usize) -> Self {
        Self {
            memory,
            first,
            stride,
        }
    }

    /// Where the first row begins.
    pub(crate) fn start(&self) -> Arg<'a> {
        Arg::Memory(self.memory, self.first * FLOAT)
    }

    /// Numbers from one row to the next.
    pub(crate) fn stride(&self) -> Arg<'a> {
        Arg::U32(count(self.stride))
    }

    /// Whether every row begins where four numbers can be read at a time.
    pub(crate) fn is_aligned(&self) -> bool {
        self.first.is_multiple_of(4) && self.stride.is_multiple_of(4)
    }

    /// # Panics
    /// If `n_rows` rows of `width` numbers are not there.
    pub(crate) fn check(&self, n_rows: usize, width: usize) {
        assert!(self.stride >= width, "rows of {width} numbers overlap");
        let end = n_rows
            .checked_sub(1)
            .map_or(0, |last| (self.first + last * self.stride + width) * FLOAT);
        assert!(
            end <= self.memory.len(),
            "{n_rows} rows of {width} numbers end at byte {end} of {}",
            self.memory.len()
        );
    }
}

/// The beginning of a memory, or null.
pub(crate) fn optional(memory: Option<&Memory>) -> Arg<'_> {
    memory.map_or(Arg::Null, |memory| Arg::Memory(memory, 0))
}

/// A size as kernels take it.
///
/// # Panics
/// If it takes more than 32 bits.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).expect("sizes of kernels fit into 32 bits")
}

/// # Panics
/// If memory has fewer than `n` numbers of 32 bits.
pub(crate) fn check_len(memory: &Memory, n: usize, what: &str) {
    let len = memory.len() / FLOAT;
    assert!(n <= len, "{what}: {n} numbers are needed, {len} are there");
}

/// All arguments, in order: without memory of their own.
pub(crate) fn joined<'a, const A: usize, const B: usize, const ALL: usize>(
    first: [Arg<'a>; A],
    then: [Arg<'a>; B],
) -> [Arg<'a>; ALL] {
    const { assert!(A + B == ALL, "all arguments") };
    let mut all = [Arg::Null; ALL];
    all[..A].copy_from_slice(&first);
    all[A..].copy_from_slice(&then);
    all
}

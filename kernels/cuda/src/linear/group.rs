//! What is computed from one input in one launch.

use super::{Activation, Matrix};
use crate::{Arg, Memory};

/// Matrices of a launch.
pub(super) const MAX_PARTS: usize = 3;

/// A matrix with its output, whose sizes were checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) matrix: &'a Matrix,
    pub(super) bias: Option<&'a Memory>,
    pub(super) out: &'a Memory,
    /// Whether products are added to what is there.
    pub(super) adds: bool,
}

/// Up to three matrices of the same encoding and width, or a gate and what it gates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    pub(super) parts: [Option<Part<'a>>; MAX_PARTS],
    pub(super) gating: Gating,
}

/// What is done to products before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gating {
    None,
    /// The first two parts are gate and up, and there is one output.
    Pair(Activation),
    /// The output holds the gate.
    Output(Activation),
}

impl<'a> Group<'a> {
    /// The first part; there always is one.
    pub(super) fn first(&self) -> &'a Matrix {
        self.parts[0].as_ref().expect("a group has a part").matrix
    }

    /// Rows of all matrices.
    pub(super) fn n_rows(&self) -> usize {
        self.rows().iter().sum()
    }

    /// How many tiles of `size` rows cover them; a tile belongs to one part, or to gate and up.
    pub(super) fn n_tiles(&self, size: usize) -> usize {
        match self.gating {
            Gating::Pair(_) => self.first().n_rows().div_ceil(size / 2),
            Gating::None | Gating::Output(_) => {
                self.rows().iter().map(|rows| rows.div_ceil(size)).sum()
            }
        }
    }

    /// What `PRODUCTS_PARAMETERS` in `cu/products.cuh` declares.
    pub(super) fn args(&self) -> Args<'a> {
        let of =
            |memory: Option<&'a Memory>| memory.map_or(Arg::Null, |memory| Arg::Memory(memory, 0));
        let parts = self.parts;
        let mut args = Args::default();
        args.extend(parts.map(|part| of(part.map(|part| part.matrix.memory()))));
        args.extend(self.rows().map(|rows| Arg::U32(rows as u32)));
        args.extend(parts.map(|part| of(part.and_then(|part| part.bias))));
        args.extend(parts.map(|part| of(part.map(|part| part.out))));
        args.extend([Arg::U32(self.flags())]);
        args
    }

    /// The parts that there are.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().flatten()
    }

    /// Rows of each matrix, 0 where there is none.
    pub(super) fn rows(&self) -> [usize; MAX_PARTS] {
        self.parts
            .map(|part| part.map_or(0, |part| part.matrix.n_rows()))
    }

    fn flags(&self) -> u32 {
        let gating = match self.gating {
            Gating::None => 0,
            Gating::Pair(activation) => number(activation) << 4,
            Gating::Output(activation) => number(activation) << 6,
        };
        let adds = self.parts.iter().enumerate();
        let adds = adds.map(|(i, part)| u32::from(part.is_some_and(|part| part.adds)) << i);
        adds.sum::<u32>() | gating
    }
}

/// As `cu/activation.cuh` counts them.
pub(super) fn number(activation: Activation) -> u32 {
    match activation {
        Activation::Silu => 1,
        Activation::Gelu => 2,
        Activation::GeluTanh => 3,
    }
}

/// The most arguments of a kernel of products.
const MAX_ARGS: usize = 4 * MAX_PARTS + 1 + 8;

/// Arguments of a launch.
#[derive(Debug)]
pub(super) struct Args<'a> {
    args: [Arg<'a>; MAX_ARGS],
    len: usize,
}

impl Default for Args<'_> {
    fn default() -> Self {
        Self {
            args: [Arg::Null; MAX_ARGS],
            len: 0,
        }
    }
}

impl<'a> Args<'a> {
    pub(super) fn extend<const N: usize>(&mut self, args: [Arg<'a>; N]) {
        self.args[self.len..self.len + N].copy_from_slice(&args);
        self.len += N;
    }

    pub(super) fn as_slice(&self) -> &[Arg<'a>] {
        &self.args[..self.len]
    }
}

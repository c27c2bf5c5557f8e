//! What is computed from one input in one launch.

use super::{Activation, Matrix};
use crate::{Arg, Memory, experts::Routing};

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
    /// Whose weights rows are multiplied with, where matrices are those of experts.
    pub(super) choice: Option<Choice<'a>>,
}

/// Which experts work on which rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    pub(super) routing: &'a Routing,
    /// Pairs of row and expert that read the same row of the input.
    pub(super) sharers: usize,
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

    /// Rows of all matrices, of experts those of one.
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

    /// How many tiles of `size` rows of activations there are where these are `n`.
    pub(super) fn n_tiles_of_columns(&self, n: usize, size: usize) -> usize {
        match self.choice {
            None => n.div_ceil(size),
            Some(Choice { routing, .. }) => {
                assert!(routing.tile() <= size, "a block has room for its tile");
                routing.n_tiles()
            }
        }
    }

    /// How many matrices of each part a row of activations is multiplied with.
    pub(super) fn experts_of_row(&self) -> usize {
        self.choice.map_or(1, |choice| choice.routing.top_k())
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
        args.extend(match self.choice {
            None => [Arg::Null, Arg::Null, Arg::U32(1), Arg::U32(1)],
            Some(Choice { routing, sharers }) => routing.args(sharers),
        });
        args
    }

    /// The parts that there are.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().flatten()
    }

    /// Rows of each matrix, 0 where there is none.
    pub(super) fn rows(&self) -> [usize; MAX_PARTS] {
        let n_experts = self.choice.map_or(1, |choice| choice.routing.n_experts());
        self.parts
            .map(|part| part.map_or(0, |part| part.matrix.n_rows() / n_experts))
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
const MAX_ARGS: usize = 4 * MAX_PARTS + 1 + 4 + 9;

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

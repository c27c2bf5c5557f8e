//! Products with the matrices of experts, each of which works on the rows that chose it.

use super::group::{Choice, Gating, Group, Part};
use super::multiply::check;
use super::{Activation, Encoding, Linear, Matrix, Projection, Rows};
use crate::{CudaError, experts::Routing};

impl Linear {
    /// How many pairs of a row and an expert are best multiplied together, for
    /// [`Routing::route`], where each of `n_rows` goes to `top_k` of `n_experts`, whose matrices have
    /// these encodings.
    pub fn tile_of_experts(
        &self,
        encodings: impl IntoIterator<Item = Encoding>,
        n_rows: usize,
        (n_experts, top_k): (usize, usize),
    ) -> usize {
        let encodings = encodings.into_iter();
        self.launcher
            .tile_of_experts(encodings, n_rows, (n_experts, top_k))
    }

    /// `out[pair]` = `x @ matrixᵀ` for each pair of a row and an expert, with the expert's part of
    /// `matrix`, which has the rows of all experts, one expert's behind another's. `x` has a row for
    /// each row that was routed, or for each pair.
    ///
    /// # Errors
    /// As [`multiply`](Linear::multiply).
    ///
    /// # Panics
    /// If `x` has other rows, or the matrix is not as wide, or not equally high for all experts.
    pub fn multiply_by_expert(
        &self,
        x: &mut Rows,
        matrix: &Matrix,
        routing: &Routing,
        out: &mut Rows,
    ) -> Result<(), CudaError> {
        let choice = choice(x, [matrix], routing);
        let out = out.reset(routing.n_pairs(), matrix.n_rows() / routing.n_experts())?;
        if x.n_rows() == 0 {
            return Ok(());
        }
        let part = Part {
            matrix,
            bias: None,
            out,
            adds: false,
        };
        let group = Group {
            parts: [Some(part), None, None],
            gating: Gating::None,
            choice: Some(choice),
        };
        self.launcher.launch(x, group)
    }

    /// `out[pair]` = `activation(x @ gateᵀ) * (x @ upᵀ)`, likewise.
    ///
    /// # Errors
    /// As [`multiply`](Linear::multiply).
    ///
    /// # Panics
    /// As [`multiply_by_expert`](Self::multiply_by_expert), and if the two matrices have different
    /// shapes.
    pub fn multiply_gated_by_expert(
        &self,
        x: &mut Rows,
        [gate, up]: [&Matrix; 2],
        activation: Activation,
        routing: &Routing,
        out: &mut Rows,
    ) -> Result<(), CudaError> {
        let choice = choice(x, [gate, up], routing);
        let out = out.reset(routing.n_pairs(), gate.n_rows() / routing.n_experts())?;
        let pair = [gate, up].map(|matrix| Projection { matrix, bias: None });
        self.gated(x, pair, activation, Some(choice), out)
    }
}

fn choice<'a, const N: usize>(
    x: &Rows,
    matrices: [&Matrix; N],
    routing: &'a Routing,
) -> Choice<'a> {
    for matrix in matrices {
        check(Projection { matrix, bias: None }, x.width());
        assert!(
            matrix.n_rows().is_multiple_of(routing.n_experts()),
            "{} rows of {} experts",
            matrix.n_rows(),
            routing.n_experts()
        );
    }
    let sharers = match x.n_rows() {
        n if n == routing.n_pairs() => 1,
        n if n == routing.n_rows() => routing.top_k(),
        n => panic!("{n} rows, {} were routed", routing.n_rows()),
    };
    Choice { routing, sharers }
}

//! Mixture of experts: each expert works on the rows that chose it, all experts in one launch.

use ponder_kernels_cuda::{
    CudaError, Device,
    experts::Routing,
    linear::{Matrix, Output, Product, Projection, Rows},
};

use super::{Cuda, Weight, kernel};
use crate::{
    backend::{DEVICE_PREFILL_ROWS, Experts},
    spec::ExpertsSpec,
};

/// What experts work on; layers that choose equally many of equally many share it, in turn.
#[derive(Debug)]
pub(super) struct ExpertBuffers {
    routing: Routing,
    logits: Rows,
    /// What gate and up make of each pair of a row and an expert.
    inner: Rows,
    /// What each pair says.
    said: Rows,
}

impl ExpertBuffers {
    fn new(device: &Device, spec: &ExpertsSpec, hidden: usize) -> Result<Self, CudaError> {
        let n_pairs = DEVICE_PREFILL_ROWS * spec.top_k;
        Ok(Self {
            routing: Routing::new(device, DEVICE_PREFILL_ROWS, spec.n_experts, spec.top_k)?,
            logits: Rows::new(device, DEVICE_PREFILL_ROWS, spec.n_experts)?,
            inner: Rows::new(device, n_pairs, spec.width)?,
            said: Rows::new(device, n_pairs, hidden)?,
        })
    }

    /// Those for such a layer.
    fn of<'a>(
        all: &'a mut Vec<Self>,
        device: &Device,
        spec: &ExpertsSpec,
        hidden: usize,
    ) -> Result<&'a mut Self, CudaError> {
        let shape = (spec.n_experts, spec.top_k);
        let is_own = |own: &Self| (own.routing.n_experts(), own.routing.top_k()) == shape;
        let index = match all.iter().position(is_own) {
            Some(index) => index,
            None => {
                all.push(Self::new(device, spec, hidden)?);
                all.len() - 1
            }
        };
        Ok(&mut all[index])
    }
}

/// `[n, hidden]` → `[n, hidden]`
pub(super) fn experts(
    cuda: &Cuda,
    spec: &ExpertsSpec,
    experts: &Experts<Weight>,
    x: &mut Rows,
    out: Output<'_>,
) -> Result<(), CudaError> {
    let (n, hidden) = (x.n_rows(), x.width());
    let all = &mut *cuda.experts.borrow_mut();
    let ExpertBuffers {
        routing,
        logits,
        inner,
        said,
    } = ExpertBuffers::of(all, &cuda.device, spec, hidden)?;
    let [gate, up, down] = [&experts.gate, &experts.up, &experts.down].map(|all| stack(all));
    let router = Product {
        projection: Projection {
            matrix: experts.router.matrix(),
            bias: None,
        },
        output: Output::Replace(logits),
    };
    let linear = &cuda.linear;
    linear.multiply(x, &mut [router])?;
    let encodings = [gate, up, down].map(Matrix::encoding);
    let tile = linear.tile_of_experts(encodings, n, (spec.n_experts, spec.top_k));
    routing.route(logits.values(), n, spec.normalize, tile)?;
    let activation = kernel(spec.activation);
    linear.multiply_gated_by_expert(x, [gate, up], activation, routing, inner)?;
    linear.multiply_by_expert(inner, down, routing, said)?;
    let (out, adds) = match out {
        Output::Replace(out) => (out.reset(n, hidden)?, false),
        Output::Add(residual) => (residual.change(), true),
    };
    routing.sum(said.values(), hidden, out, adds)
}

/// The rows of all experts.
fn stack(weights: &[Weight]) -> &Matrix {
    match weights {
        [stack] => stack.matrix(),
        _ => unreachable!("the backend took all experts over together"),
    }
}

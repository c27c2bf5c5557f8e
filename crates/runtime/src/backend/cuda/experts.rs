//! Mixture of experts: each expert works on the rows that chose it, which lie side by side.

use std::ops::Range;

use ponder_kernels_cuda::{
    CudaError, Device,
    experts::Routing,
    linear::{Output, Product, Projection, Rows},
};

use super::{Cuda, Weight, kernel};
use crate::{backend::Experts, spec::ExpertsSpec};

/// Rows that are planned for.
const MAX_ROWS: usize = 512;

/// What experts work on; one serves all layers, in turn.
#[derive(Debug)]
pub(super) struct ExpertBuffers {
    routing: Routing,
    shape: (usize, usize),
    logits: Rows,
    /// Rows of all experts, side by side.
    input: Rows,
    output: Rows,
    /// Rows of one expert.
    own: Rows,
    inner: Rows,
    said: Rows,
    places: Vec<Range<usize>>,
}

impl ExpertBuffers {
    fn new(device: &Device, spec: &ExpertsSpec) -> Result<Self, CudaError> {
        let rows = || Rows::new(device, 1, 1);
        Ok(Self {
            routing: Routing::new(device, MAX_ROWS, spec.n_experts, spec.top_k)?,
            shape: (spec.n_experts, spec.top_k),
            logits: rows()?,
            input: rows()?,
            output: rows()?,
            own: rows()?,
            inner: rows()?,
            said: rows()?,
            places: Vec::new(),
        })
    }
}

/// `[n, hidden]` → `[n, hidden]`
pub(super) fn experts(
    cuda: &Cuda,
    spec: &ExpertsSpec,
    experts: &Experts<Weight>,
    x: &mut Rows,
    out: &mut Rows,
) -> Result<(), CudaError> {
    let (n, width) = (x.n_rows(), x.width());
    let mut buffers = cuda.experts.borrow_mut();
    let known = buffers.take();
    let known = known.filter(|buffers| buffers.shape == (spec.n_experts, spec.top_k));
    let buffers = match known {
        Some(known) => buffers.insert(known),
        None => buffers.insert(ExpertBuffers::new(&cuda.device, spec)?),
    };
    multiply(cuda, x, &experts.router, &mut buffers.logits)?;
    let routing = &mut buffers.routing;
    routing.route(buffers.logits.values(), n, spec.normalize)?;
    let n_pairs = routing.n_pairs();
    routing.gather(x.values(), width, buffers.input.reset(n_pairs, width)?)?;
    buffers.output.reset(n_pairs, width)?;
    buffers.places.clear();
    buffers.places.extend(routing.ranges()?);
    for expert in 0..spec.n_experts {
        if !buffers.places[expert].is_empty() {
            one(cuda, spec, experts, expert, buffers)?;
        }
    }
    let out = out.reset(n, width)?;
    buffers.routing.sum(buffers.output.values(), width, out)
}

/// What one expert says of its rows.
fn one(
    cuda: &Cuda,
    spec: &ExpertsSpec,
    experts: &Experts<Weight>,
    expert: usize,
    buffers: &mut ExpertBuffers,
) -> Result<(), CudaError> {
    let (places, width) = (&buffers.places[expert], buffers.input.width());
    let (first, len) = (4 * width * places.start, 4 * width * places.len());
    let own = buffers.own.reset(places.len(), width)?;
    cuda.device
        .copy((buffers.input.values(), first), (own, 0), len)?;
    let (gate, up) = (plain(&experts.gate[expert]), plain(&experts.up[expert]));
    let activation = kernel(spec.activation);
    cuda.linear
        .multiply_gated(&mut buffers.own, gate, up, activation, &mut buffers.inner)?;
    multiply(
        cuda,
        &mut buffers.inner,
        &experts.down[expert],
        &mut buffers.said,
    )?;
    let output = buffers.output.change();
    cuda.device
        .copy((buffers.said.values(), 0), (output, first), len)
}

fn multiply(cuda: &Cuda, x: &mut Rows, weight: &Weight, out: &mut Rows) -> Result<(), CudaError> {
    let product = Product {
        projection: plain(weight),
        output: Output::Replace(out),
    };
    cuda.linear.multiply(x, &mut [product])
}

fn plain(weight: &Weight) -> Projection<'_> {
    Projection {
        matrix: weight.matrix(),
        bias: None,
    }
}

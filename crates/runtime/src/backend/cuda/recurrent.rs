//! Mixers with recurrent state.

use ponder_kernels_cuda::{CudaError, linear::Rows, recurrent::ShortConv};

use super::{Cuda, State, Weight};
use crate::backend::{RecurrentLayer, RecurrentMixer};

/// `[n, in]` → `[n, width]`
pub(super) fn recurrent(
    cuda: &Cuda,
    layer: &RecurrentLayer<'_, Weight>,
    x: &Rows,
    state: &mut State,
    out: &mut Rows,
) -> Result<(), CudaError> {
    let RecurrentMixer::ShortConv { spec, filter, bias } = layer.mixer;
    let conv = ShortConv {
        width: spec.width,
        kernel: spec.kernel,
        filter: filter.vector(),
        bias: bias.map(Weight::vector),
    };
    let out = out.reset(x.n_rows(), spec.width)?;
    let step = cuda.step();
    let tables = (&step.tables, &step.bounds);
    conv.run(
        &cuda.device,
        tables,
        x.values(),
        state.layers.recurrent(layer.slot),
        out,
    )
}

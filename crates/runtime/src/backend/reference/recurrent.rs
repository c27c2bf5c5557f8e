//! Mixers with recurrent state.

use candle_core::{Device, Result, Tensor};

use super::{State, weight::Weight};
use crate::{
    backend::{Batch, RecurrentLayer, RecurrentMixer, Span},
    spec::ShortConvSpec,
};

/// `[n, in]` → `[n, width]`
pub(super) fn recurrent(
    layer: &RecurrentLayer<'_, Weight>,
    x: &Tensor,
    batch: &Batch<'_>,
    state: &mut State,
) -> Result<Tensor> {
    let RecurrentMixer::ShortConv { spec, filter, bias } = layer.mixer;
    let filter = filter.dense()?;
    let bias = bias
        .map(|bias| bias.vector()?.to_vec1::<f32>())
        .transpose()?;
    let parts = batch.spans.iter().map(|span: &Span| {
        let sequence = batch
            .cache
            .sequence(span.sequence)
            .map_err(candle_core::Error::wrap)?;
        let slot = sequence
            .slot()
            .expect("a model with recurrent layers has slots");
        let rows = x
            .narrow(0, span.first_row, span.len)?
            .contiguous()?
            .to_vec2::<f32>()?;
        let out = short_conv(
            spec,
            &filter,
            bias.as_deref(),
            &rows,
            state.recurrent(layer.slot, slot),
        );
        Tensor::from_vec(out, (span.len, spec.width), &Device::Cpu)
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
}

/// `past` holds the last `kernel - 1` filter inputs, oldest first: `[kernel - 1, width]`.
fn short_conv(
    spec: &ShortConvSpec,
    filter: &[f32],
    bias: Option<&[f32]>,
    rows: &[Vec<f32>],
    past: &mut [f32],
) -> Vec<f32> {
    let (width, kernel) = (spec.width, spec.kernel);
    let mut out = Vec::with_capacity(rows.len() * width);
    for row in rows {
        let (b, rest) = row.split_at(width);
        let (c, x) = rest.split_at(width);
        for channel in 0..width {
            let present = b[channel] * x[channel];
            let taps = &filter[channel * kernel..(channel + 1) * kernel];
            let earlier: f32 = (0..kernel - 1)
                .map(|step| taps[step] * past[step * width + channel])
                .sum();
            let sum = earlier + taps[kernel - 1] * present + bias.map_or(0.0, |bias| bias[channel]);
            out.push(c[channel] * sum);
        }
        if kernel > 1 {
            past.copy_within(width.., 0);
            let newest = past.len() - width;
            for channel in 0..width {
                past[newest + channel] = b[channel] * x[channel];
            }
        }
    }
    out
}

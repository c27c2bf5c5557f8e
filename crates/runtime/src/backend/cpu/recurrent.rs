//! Mixers with recurrent state.

use super::{Buffer, State, Weight};
use crate::{
    backend::{Batch, RecurrentLayer, RecurrentMixer},
    spec::ShortConvSpec,
};

/// `[n, in]` → `[n, width]`
pub(super) fn recurrent(
    layer: &RecurrentLayer<'_, Weight>,
    x: &Buffer,
    batch: &Batch<'_>,
    state: &mut State,
    out: &mut Buffer,
) {
    let RecurrentMixer::ShortConv { spec, filter, bias } = layer.mixer;
    let (filter, bias) = (filter.vector(), bias.map(Weight::vector));
    let out = out.reset(x.n_rows(), spec.width);
    for span in batch.spans {
        let sequence = batch.cache.sequence(span.sequence);
        let slot = sequence.ok().and_then(|sequence| sequence.slot());
        let slot = slot.expect("the step was planned for sequences that have a slot");
        let past = state.recurrent(layer.slot, slot);
        for row in span.first_row..span.first_row + span.len {
            let out = &mut out[row * spec.width..(row + 1) * spec.width];
            short_conv(spec, filter, bias, x.row(row), past, out);
        }
    }
}

/// One token. `past` holds the last `kernel - 1` filter inputs, oldest first: `[kernel - 1, width]`.
fn short_conv(
    spec: &ShortConvSpec,
    filter: &[f32],
    bias: Option<&[f32]>,
    row: &[f32],
    past: &mut [f32],
    out: &mut [f32],
) {
    let (width, kernel) = (spec.width, spec.kernel);
    let (b, rest) = row.split_at(width);
    let (c, x) = rest.split_at(width);
    for channel in 0..width {
        let taps = &filter[channel * kernel..(channel + 1) * kernel];
        let mut sum = taps[kernel - 1] * b[channel] * x[channel];
        for (step, tap) in taps[..kernel - 1].iter().enumerate() {
            sum += tap * past[step * width + channel];
        }
        out[channel] = c[channel] * (sum + bias.map_or(0.0, |bias| bias[channel]));
    }
    if kernel > 1 {
        past.copy_within(width.., 0);
        let newest = past.len() - width;
        for channel in 0..width {
            past[newest + channel] = b[channel] * x[channel];
        }
    }
}

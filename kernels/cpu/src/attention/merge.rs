//! Putting segments together, and the last division.

use super::softmax::RowState;
use crate::Isa;
use crate::elementwise::scale_add;

/// Adds a segment to what came before it, for one row.
pub(super) fn merge(
    isa: Isa,
    (total, total_sums): (&mut RowState, &mut [f32]),
    (part, part_sums): (RowState, &[f32]),
) {
    if part.is_empty() {
        return;
    }
    if total.is_empty() {
        *total = part;
        total_sums.copy_from_slice(part_sums);
        return;
    }
    let max = total.max.max(part.max);
    let [old, new] = [total.max, part.max].map(|of| (of - max).exp());
    scale_add(isa, total_sums, old, part_sums, new);
    *total = RowState {
        max,
        sum: total.sum * old + part.sum * new,
    };
}

/// The output of one row: sums divided by the sum of all weights, that of the sink included.
pub(super) fn finish(state: RowState, sums: &[f32], sink: Option<f32>, out: &mut [f32]) {
    let factor = match sink {
        None => 1.0 / state.sum,
        Some(sink) => {
            let max = state.max.max(sink);
            let own = (state.max - max).exp();
            own / (state.sum * own + (sink - max).exp())
        }
    };
    for (out, sum) in out.iter_mut().zip(sums) {
        *out = sum * factor;
    }
}

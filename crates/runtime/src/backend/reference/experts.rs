//! Mixture of experts: each expert works on the rows that chose it.

use candle_core::{Device, Tensor};
use candle_nn::ops;

use super::{activate, select_rows, weight::Weight, wrap};
use crate::{
    backend::{BackendError, Experts},
    spec::ExpertsSpec,
};

/// `[n, hidden]` → `[n, hidden]`
pub(super) fn experts(
    spec: &ExpertsSpec,
    experts: &Experts<Weight>,
    x: &Tensor,
) -> Result<Tensor, BackendError> {
    let logits = experts.router.matmul(x)?;
    let shares = wrap("experts", || {
        ops::softmax_last_dim(&logits)?.to_vec2::<f32>()
    })?;
    let chosen: Vec<Vec<(usize, f32)>> = shares.iter().map(|shares| choose(spec, shares)).collect();

    let mut sum = wrap("experts", || x.zeros_like())?;
    for expert in 0..spec.n_experts {
        let share_of = |row: &[(usize, f32)]| {
            row.iter()
                .find(|(index, _)| *index == expert)
                .map(|(_, share)| *share)
        };
        let (rows, weights): (Vec<usize>, Vec<f32>) = chosen
            .iter()
            .enumerate()
            .filter_map(|(row, chosen)| Some((row, share_of(chosen)?)))
            .unzip();
        if rows.is_empty() {
            continue;
        }
        let input = wrap("experts", || select_rows(x, &rows))?;
        let gate = experts.gate[expert].matmul(&input)?;
        let up = experts.up[expert].matmul(&input)?;
        let inner = wrap("experts", || activate(spec.activation, &gate)?.mul(&up))?;
        let output = experts.down[expert].matmul(&inner)?;
        sum = wrap("experts", || {
            let weights = Tensor::from_vec(weights, (rows.len(), 1), &Device::Cpu)?;
            let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
            sum.index_add(
                &Tensor::new(rows, &Device::Cpu)?,
                &output.broadcast_mul(&weights)?,
                0,
            )
        })?;
    }
    Ok(sum)
}

/// The best `top_k` experts and their shares; of equals, the first.
fn choose(spec: &ExpertsSpec, shares: &[f32]) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]));
    order.truncate(spec.top_k);
    let sum: f32 = if spec.normalize {
        order.iter().map(|&expert| shares[expert]).sum()
    } else {
        1.0
    };
    order
        .into_iter()
        .map(|expert| (expert, shares[expert] / sum))
        .collect()
}

//! Mixture of experts: each expert works on the rows that chose it.

use ponder_kernels_cpu::linear::{Output, Product};

use super::{Buffer, Cpu, Weight, kernel};
use crate::{backend::Experts, spec::ExpertsSpec};

/// What the experts work in. Kept from step to step for its memory.
#[derive(Debug, Default)]
pub(super) struct ExpertBuffers {
    /// `[n, n_experts]`
    shares: Vec<f32>,
    /// `[n, top_k]`: which expert, and its share.
    chosen: Vec<(usize, f32)>,
    order: Vec<usize>,
    /// Rows that chose the present expert, and its share in each.
    rows: Vec<(usize, f32)>,
    input: Buffer,
    gated: Buffer,
    output: Buffer,
}

/// `[n, hidden]` → `[n, hidden]`
pub(super) fn experts(
    cpu: &Cpu,
    spec: &ExpertsSpec,
    experts: &Experts<Weight>,
    x: &mut Buffer,
    out: &mut Buffer,
) {
    let buffers = &mut *cpu.experts.borrow_mut();
    let (n, hidden) = (x.n_rows(), x.width());
    route(cpu, spec, &experts.router, x, buffers);
    let sum = out.reset(n, hidden);
    sum.fill(0.0);
    for expert in 0..spec.n_experts {
        let ExpertBuffers {
            chosen,
            rows,
            input,
            gated,
            output,
            ..
        } = buffers;
        rows.clear();
        let places = chosen.iter().enumerate();
        let own = places.filter(|(_, (chosen, _))| *chosen == expert);
        rows.extend(own.map(|(at, (_, share))| (at / spec.top_k, *share)));
        if rows.is_empty() {
            continue;
        }
        let to = input.reset(rows.len(), hidden).chunks_exact_mut(hidden);
        to.zip(rows.iter())
            .for_each(|(to, (row, _))| to.copy_from_slice(x.row(*row)));
        let [gate, up, down] = [&experts.gate, &experts.up, &experts.down].map(|all| &all[expert]);
        let products = [gate, up].map(product);
        let input = cpu.input(input, &[gate, up]);
        let inner = gated.reset(rows.len(), spec.width);
        cpu.team
            .multiply_gated(rows.len(), input, products, kernel(spec.activation), inner);
        let inner = cpu.input(gated, &[down]);
        let replace = Output::Replace(output.reset(rows.len(), hidden));
        cpu.team
            .multiply(rows.len(), inner, [(product(down), replace)]);
        for (i, (row, share)) in rows.iter().enumerate() {
            let sum = &mut sum[row * hidden..(row + 1) * hidden];
            let pairs = sum.iter_mut().zip(output.row(i));
            pairs.for_each(|(sum, value)| *sum += share * value);
        }
    }
}

fn product(weight: &Weight) -> Product<'_> {
    Product {
        matrix: weight.matrix(),
        bias: None,
    }
}

/// Softmax over the router's logits; of each row the best `top_k`, of equals the first.
fn route(cpu: &Cpu, spec: &ExpertsSpec, router: &Weight, x: &Buffer, buffers: &mut ExpertBuffers) {
    let n = x.n_rows();
    buffers.shares.resize(n * spec.n_experts, 0.0);
    // The router decides; its small product is not worth rounding for.
    let logits = Output::Replace(&mut buffers.shares);
    cpu.team
        .multiply(n, x.plain_input(), [(product(router), logits)]);
    buffers.chosen.clear();
    for shares in buffers.shares.chunks_exact_mut(spec.n_experts) {
        let largest = shares.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        shares
            .iter_mut()
            .for_each(|share| *share = (*share - largest).exp());
        let total: f32 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= total);
        buffers.order.clear();
        buffers.order.extend(0..spec.n_experts);
        let best_first = |&a: &usize, &b: &usize| shares[b].total_cmp(&shares[a]).then(a.cmp(&b));
        buffers.order.sort_unstable_by(best_first);
        let best = &buffers.order[..spec.top_k];
        let sum: f32 = if spec.normalize {
            best.iter().map(|&expert| shares[expert]).sum()
        } else {
            1.0
        };
        let chosen = best.iter().map(|&expert| (expert, shares[expert] / sum));
        buffers.chosen.extend(chosen);
    }
}

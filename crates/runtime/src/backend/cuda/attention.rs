//! Attention layers: queries and keys made ready, keys and values stored, and what queries see.

use ponder_kernels_cuda::{
    CudaError, View,
    attention::{Append, Attention, AttentionBatch, HeadNorms, KvFormat, QueryGrowth},
    elementwise,
    linear::Rows,
};

use super::{Cuda, State, Weight};
use crate::{
    backend::{self, AttentionLayer, BackendError},
    spec::QkNorm,
};

/// `[n, n_heads * head_dim]`, `[n, n_kv_heads * head_dim]` twice → `[n, n_heads * head_dim]`
pub(super) fn attention(
    cuda: &Cuda,
    layer: &AttentionLayer<'_, Weight>,
    [q, k, v]: [&mut Rows; 3],
    state: &mut State,
    out: &mut Rows,
) -> Result<(), CudaError> {
    let (device, spec) = (&cuda.device, layer.spec);
    let step = &mut *cuda.step();
    let width = spec.n_heads * spec.head_dim;
    let out = out.reset(q.n_rows(), width)?;
    if let (Some(index), Some(table)) = (spec.rope, layer.rope) {
        step.turn(index, table)?;
    }
    if spec.qk_norm == QkNorm::All {
        for (rows, weight) in [(&mut *q, layer.query_norm), (&mut *k, layer.key_norm)] {
            if let Some(weight) = weight {
                let (shape, numbers) = (
                    (rows.n_rows(), rows.width()),
                    (layer.norm.eps, layer.norm.offset),
                );
                let values = rows.change();
                let out = (values, elementwise::Store::Replace);
                elementwise::rms_norm(device, values, weight.vector(), numbers, shape, out)?;
            }
        }
    }
    let is_of_heads = spec.qk_norm == QkNorm::Head;
    let append = Append {
        n_heads: spec.n_heads,
        norms: HeadNorms {
            query: layer.query_norm.filter(|_| is_of_heads).map(Weight::vector),
            key: layer.key_norm.filter(|_| is_of_heads).map(Weight::vector),
            eps: layer.norm.eps,
            offset: layer.norm.offset,
        },
        rope: spec.rope.and_then(|index| step.ropes[index].rope.as_ref()),
        growth: spec.query_growth.map(|growth| QueryGrowth {
            beta: growth.beta,
            period: growth.period,
        }),
        scale: spec.scale,
    };
    let narrow = spec.n_kv_heads * spec.head_dim;
    let views = [
        View::new(q.change(), width),
        View::new(k.values(), narrow),
        View::new(v.values(), narrow),
        View::new(out, width),
    ];
    let (group, cache) = state.layers.kv(layer.slot);
    let batch = AttentionBatch {
        tables: &step.tables,
        bounds: &step.bounds,
        group,
    };
    let attention = Attention {
        n_heads: spec.n_heads,
        sinks: None,
        precision: cuda.precision,
    };
    attention.run_with(device, &append, &batch, views, cache, &mut step.scratch)
}

/// How the device stores keys and values.
///
/// # Errors
/// Where it cannot store them so.
pub(super) fn kv_format(format: backend::KvFormat) -> Result<KvFormat, BackendError> {
    match format {
        backend::KvFormat::F32 => Ok(KvFormat::F32),
        backend::KvFormat::F16 => Ok(KvFormat::F16),
        backend::KvFormat::BF16 => Ok(KvFormat::Bf16),
        backend::KvFormat::Fp8 => Ok(KvFormat::Fp8),
        backend::KvFormat::Q8_0 => Ok(KvFormat::Q8_0),
        backend::KvFormat::Q4_0 => Err(format.is_missing("cuda", "q8_0 and fp8 are")),
    }
}

//! Softmax attention over the paged cache, one sequence at a time.

use candle_core::{Device, Result, Tensor};
use candle_nn::{ops, rotary_emb};

use super::{State, rms_norm, weight::Weight};
use crate::{
    backend::{AttentionLayer, Batch, Span},
    cache::{LayerSlot, Sequence},
    spec::{QkNorm, QueryGrowth, RopeTable},
};

/// Scores computed at a time; bounds the memory of a long prefill.
const MAX_SCORES: usize = 1 << 24;

/// `[n, n_heads * head_dim]`, `[n, n_kv_heads * head_dim]` twice → `[n, n_heads * head_dim]`
pub(super) fn attention(
    layer: &AttentionLayer<'_, Weight>,
    qkv: [&Tensor; 3],
    batch: &Batch<'_>,
    state: &mut State,
) -> Result<Tensor> {
    let parts = batch.spans.iter().map(|span| {
        let [q, k, v] = qkv.map(|rows| rows.narrow(0, span.first_row, span.len));
        let sequence = batch
            .cache
            .sequence(span.sequence)
            .map_err(candle_core::Error::wrap)?;
        one_span(layer, [q?, k?, v?], span, sequence, state)
    });
    Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
}

fn one_span(
    layer: &AttentionLayer<'_, Weight>,
    [q, k, v]: [Tensor; 3],
    span: &Span,
    sequence: &Sequence,
    state: &mut State,
) -> Result<Tensor> {
    let spec = layer.spec;
    let q = encode(layer, &q, spec.n_heads, layer.query_norm, span, sequence)?;
    let q = match spec.query_growth {
        Some(growth) => q.broadcast_mul(&growth_by_position(growth, span)?)?,
        None => q,
    };
    let k = encode(layer, &k, spec.n_kv_heads, layer.key_norm, span, sequence)?;

    let LayerSlot::Kv { group, .. } = layer.slot else {
        unreachable!("attention layers have keys and values")
    };
    let table = sequence.table(group);
    let width = spec.n_kv_heads * spec.head_dim;
    let [k, v] = [k, v].map(|rows| rows.flatten_all()?.to_vec1::<f32>());
    for (i, (key, value)) in k?
        .chunks_exact(width)
        .zip(v?.chunks_exact(width))
        .enumerate()
    {
        state.append(layer.slot, table, span.position + i, key, value);
    }

    let tile = (MAX_SCORES / (spec.n_heads * (span.position + span.len))).clamp(1, span.len);
    let tiles = (0..span.len).step_by(tile).map(|first| {
        let n = tile.min(span.len - first);
        let position = span.position + first;
        // A window of W covers W keys, the query's own included.
        let from = spec
            .window
            .map_or(0, |window| (position + 1).saturating_sub(window));
        let [keys, values] = state.gather(layer.slot, table, from..position + n);
        scores_and_values(layer, &q.narrow(0, first, n)?, keys, values, position, from)
    });
    Tensor::cat(&tiles.collect::<Result<Vec<_>>>()?, 0)
}

/// Norm and rotation. `[n, heads * head_dim]` → `[n, heads, head_dim]`
fn encode(
    layer: &AttentionLayer<'_, Weight>,
    x: &Tensor,
    heads: usize,
    norm: Option<&Weight>,
    span: &Span,
    sequence: &Sequence,
) -> Result<Tensor> {
    let shape = (span.len, heads, layer.spec.head_dim);
    let x = match (norm, layer.spec.qk_norm) {
        (Some(norm), QkNorm::All) => rms_norm(x, norm, layer.norm)?.reshape(shape)?,
        (Some(norm), QkNorm::Head) => rms_norm(&x.contiguous()?.reshape(shape)?, norm, layer.norm)?,
        _ => x.contiguous()?.reshape(shape)?,
    };
    match layer.rope {
        Some(rope) => rotate(rope, &x, span.position, sequence.planned_len()),
        None => Ok(x),
    }
}

fn rotate(rope: &RopeTable, x: &Tensor, position: usize, planned_len: usize) -> Result<Tensor> {
    let (n, heads, head_dim) = x.dims3()?;
    let freqs = rope.for_length(planned_len);
    let angles = |turn: fn(f32) -> f32| {
        let rows = (position..position + n).flat_map(|p| freqs.iter().map(move |f| p as f32 * f));
        Tensor::from_vec(
            rows.map(|angle| turn(angle) * rope.attention_factor)
                .collect(),
            (n, freqs.len()),
            &Device::Cpu,
        )
    };
    let (cos, sin) = (angles(f32::cos)?, angles(f32::sin)?);
    let dims = 2 * freqs.len();
    let turning = x
        .narrow(2, 0, dims)?
        .transpose(0, 1)?
        .unsqueeze(0)?
        .contiguous()?; // [1, heads, n, dims]
    let turned = if rope.interleaved {
        rotary_emb::rope_i(&turning, &cos, &sin)?
    } else {
        rotary_emb::rope(&turning, &cos, &sin)?
    };
    let turned = turned.squeeze(0)?.transpose(0, 1)?.contiguous()?;
    debug_assert_eq!(turned.dims(), [n, heads, dims]);
    if dims == head_dim {
        return Ok(turned);
    }
    Tensor::cat(
        &[&turned, &x.narrow(2, dims, head_dim - dims)?.contiguous()?],
        2,
    )
}

fn growth_by_position(growth: QueryGrowth, span: &Span) -> Result<Tensor> {
    let factor = |position: usize| 1.0 + growth.beta * ((position / growth.period) as f32).ln_1p();
    let factors: Vec<f32> = (span.position..span.position + span.len)
        .map(factor)
        .collect();
    Tensor::from_vec(factors, (span.len, 1, 1), &Device::Cpu)
}

/// `q` is `[n, n_heads, head_dim]` from `position` on, keys and values begin at position `from`.
fn scores_and_values(
    layer: &AttentionLayer<'_, Weight>,
    q: &Tensor,
    keys: Vec<f32>,
    values: Vec<f32>,
    position: usize,
    from: usize,
) -> Result<Tensor> {
    let spec = layer.spec;
    let n = q.dim(0)?;
    let n_keys = position + n - from;
    let queries_per_key = spec.n_heads / spec.n_kv_heads;
    let by_head = |rows: Vec<f32>| {
        let rows = Tensor::from_vec(rows, (n_keys, spec.n_kv_heads, spec.head_dim), &Device::Cpu)?;
        rows.transpose(0, 1)?.contiguous() // [n_kv_heads, n_keys, head_dim]
    };
    let (keys, values) = (by_head(keys)?, by_head(values)?);
    // [n_kv_heads, queries_per_key * n, head_dim]
    let q = q
        .reshape((n, spec.n_kv_heads, queries_per_key, spec.head_dim))?
        .permute((1, 2, 0, 3))?
        .contiguous()?
        .reshape((spec.n_kv_heads, queries_per_key * n, spec.head_dim))?;
    let scores = q.matmul(&keys.t()?)?.affine(f64::from(spec.scale), 0.0)?;
    let scores = scores
        .reshape((spec.n_kv_heads, queries_per_key, n, n_keys))?
        .broadcast_add(&mask(spec.window, position, n, from)?)?
        .reshape((spec.n_kv_heads, queries_per_key * n, n_keys))?;
    let mixed = ops::softmax_last_dim(&scores)?.matmul(&values)?;
    mixed
        .reshape((spec.n_kv_heads, queries_per_key, n, spec.head_dim))?
        .permute((2, 0, 1, 3))?
        .contiguous()?
        .reshape((n, spec.n_heads * spec.head_dim))
}

/// 0 where a query sees a key, minus infinity elsewhere. `[n, n_keys]`
fn mask(window: Option<usize>, position: usize, n: usize, from: usize) -> Result<Tensor> {
    let rows = (position..position + n).flat_map(|query| {
        (from..position + n).map(move |key| {
            let seen = key <= query && window.is_none_or(|window| key + window > query);
            if seen { 0.0 } else { f32::NEG_INFINITY }
        })
    });
    Tensor::from_vec(rows.collect(), (n, position + n - from), &Device::Cpu)
}

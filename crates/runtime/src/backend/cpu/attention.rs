//! Queries and keys made ready, keys and values stored, attention.

use ponder_kernels_cpu::attention::{
    Attention, AttentionBatch, KvFormat, Span as KernelSpan, append,
};
use ponder_kernels_cpu::elementwise::{RopePairs, rms_norm_heads, rope};
use ponder_kernels_cpu::linear::Team;

use super::{Buffer, State, Weight, state::KvLayer};
use crate::{
    backend::{self, AttentionLayer, BackendError, Batch},
    cache::{LayerSlot, Sequence},
    spec::RopeTable,
};

/// Cosine and sine of every row of a batch, for each position encoding: computed once in a step,
/// read by all layers.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// How many of `tables` are of this step. The rest is kept for its memory.
    n_valid: usize,
    tables: Vec<TurnTable>,
}

#[derive(Debug, Default)]
struct TurnTable {
    /// Which encoding: the address of its frequencies, which stay where they are.
    rope: usize,
    /// `[n_rows, pairs]`
    cos: Vec<f32>,
    /// `[n_rows, pairs]`
    sin: Vec<f32>,
}

impl Turns {
    pub(super) fn clear(&mut self) {
        self.n_valid = 0;
    }

    fn of(&mut self, rope: &RopeTable, batch: &Batch<'_>) -> &TurnTable {
        let address = rope.inv_freq.as_ptr().addr();
        let valid = &self.tables[..self.n_valid];
        if let Some(index) = valid.iter().position(|table| table.rope == address) {
            return &self.tables[index];
        }
        if self.tables.len() == self.n_valid {
            self.tables.push(TurnTable::default());
        }
        let table = &mut self.tables[self.n_valid];
        self.n_valid += 1;
        table.rope = address;
        table.fill(rope, batch);
        table
    }
}

impl TurnTable {
    fn fill(&mut self, rope: &RopeTable, batch: &Batch<'_>) {
        self.cos.clear();
        self.sin.clear();
        for span in batch.spans {
            let freqs = rope.for_length(sequence(batch, span.sequence).planned_len());
            for position in span.position..span.position + span.len {
                for freq in freqs {
                    let (sin, cos) = (position as f32 * freq).sin_cos();
                    self.cos.push(cos * rope.attention_factor);
                    self.sin.push(sin * rope.attention_factor);
                }
            }
        }
    }
}

pub(super) fn attention(
    team: &Team,
    layer: &AttentionLayer<'_, Weight>,
    [q, k, v]: [&mut Buffer; 3],
    batch: &Batch<'_>,
    state: &mut State,
    out: &mut Buffer,
) {
    let spec = layer.spec;
    let (kv, scratch, turns) = state.attention(layer.slot);
    let turns = layer.rope.map(|rope| (rope, turns.of(rope, batch)));
    encode(team, layer, q, layer.query_norm, turns);
    encode(team, layer, k, layer.key_norm, turns);
    grow(layer, q, batch);

    let KvLayer { layout, storage } = kv;
    let LayerSlot::Kv { group, .. } = layer.slot else {
        unreachable!("attention layers have keys and values")
    };
    let isa = team.isa();
    let attention = Attention {
        layout: *layout,
        n_heads: spec.n_heads,
        scale: spec.scale,
        softcap: None,
        window: spec.window,
        sinks: None,
    };
    let out = out.reset(q.n_rows(), spec.n_heads * spec.head_dim);
    with_spans(batch, group, |spans| {
        append(
            team.threads(),
            isa,
            layout,
            spans,
            [k.values(), v.values()],
            storage,
        );
        let batch = AttentionBatch {
            spans,
            queries: q.values(),
            storage,
        };
        attention.run(team.threads(), isa, &batch, scratch, out);
    });
}

/// Sequences of a batch up to which their spans need no allocation.
const FEW: usize = 64;

fn with_spans(batch: &Batch<'_>, group: usize, work: impl FnOnce(&[KernelSpan<'_>])) {
    let span = |span: &crate::backend::Span| {
        let table = sequence(batch, span.sequence).table(group);
        KernelSpan {
            first_row: span.first_row,
            n_rows: span.len,
            position: span.position,
            blocks: table.blocks(),
            dropped_blocks: table.first_position() / crate::cache::BLOCK_LEN,
        }
    };
    if batch.spans.len() > FEW {
        return work(&batch.spans.iter().map(span).collect::<Vec<_>>());
    }
    let Some(first) = batch.spans.first() else {
        return;
    };
    let mut spans = [span(first); FEW];
    for (to, from) in spans.iter_mut().zip(batch.spans) {
        *to = span(from);
    }
    work(&spans[..batch.spans.len()]);
}

/// Norm and rotation, in place. `[n, heads * head_dim]`
fn encode(
    team: &Team,
    layer: &AttentionLayer<'_, Weight>,
    x: &mut Buffer,
    norm: Option<&Weight>,
    turns: Option<(&RopeTable, &TurnTable)>,
) {
    if norm.is_none() && turns.is_none() {
        return;
    }
    let (isa, width) = (team.isa(), x.width());
    let norm = norm.map(Weight::vector);
    team.each_row(x.change(), width, &|row, heads| {
        if let Some(weight) = norm {
            // The weight is as long as a head, or as all of them.
            rms_norm_heads(isa, heads, weight, layer.norm.eps, layer.norm.offset);
        }
        if let Some((table, turns)) = turns {
            let n_pairs = table.inv_freq.len();
            let of_row = row * n_pairs..(row + 1) * n_pairs;
            let pairs = if table.interleaved {
                RopePairs::Interleaved
            } else {
                RopePairs::Halves
            };
            let (cos, sin) = (&turns.cos[of_row.clone()], &turns.sin[of_row]);
            rope(isa, pairs, cos, sin, heads, layer.spec.head_dim);
        }
    });
}

/// Queries that grow with their position.
fn grow(layer: &AttentionLayer<'_, Weight>, q: &mut Buffer, batch: &Batch<'_>) {
    let Some(growth) = layer.spec.query_growth else {
        return;
    };
    let width = q.width();
    let values = q.change();
    for span in batch.spans {
        for i in 0..span.len {
            let periods = (span.position + i) / growth.period;
            let factor = 1.0 + growth.beta * (periods as f32).ln_1p();
            let row = (span.first_row + i) * width;
            let heads = &mut values[row..row + width];
            heads.iter_mut().for_each(|value| *value *= factor);
        }
    }
}

fn sequence<'a>(batch: &Batch<'a>, id: crate::cache::SeqId) -> &'a Sequence {
    let sequence = batch.cache.sequence(id);
    sequence.expect("the step was planned for sequences that are there")
}

/// How the processor stores keys and values.
///
/// # Errors
/// Where it cannot store them so.
pub(super) fn kv_format(format: backend::KvFormat) -> Result<KvFormat, BackendError> {
    match format {
        backend::KvFormat::F32 => Ok(KvFormat::F32),
        backend::KvFormat::F16 => Ok(KvFormat::F16),
        backend::KvFormat::BF16 => Ok(KvFormat::BF16),
        backend::KvFormat::Fp8 => {
            Err(format.is_missing("cpu", "q8_0 is; fp8 is for --device cuda"))
        }
        backend::KvFormat::Q8_0 => Ok(KvFormat::Q8_0),
        backend::KvFormat::Q4_0 => Ok(KvFormat::Q4_0),
    }
}

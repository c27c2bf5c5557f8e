//! Checkpoint → layers. Two-sided: what is expected must be there, what is there must be expected.

use std::collections::HashSet;
use std::ops::Range;

use super::{
    Decoder, DecoderError, StepPlan,
    layer::{Buffers, Ffn, Layer, Mixer},
    stage::{Head, Stage},
};
use crate::{
    backend::{Backend, Experts, Linear},
    cache::{Cache, CachePlan, LayerSlot},
    spec::{
        ArchSpec, AttentionSpec, ExpertsSpec, FfnSpec, MixerSpec, QkNorm, Role, RopeTable,
        ShortConvSpec, Widths,
    },
    weights::{Checkpoint, MappedTensor},
};

/// Loads all layers on one backend, or those from a place on with another.
pub(super) fn load<B: Backend, C: Backend>(
    backend: B,
    last: Option<(C, usize)>,
    mut spec: ArchSpec,
    checkpoint: &Checkpoint,
    (max_tokens, max_sequences): (usize, usize),
) -> Result<Decoder<B, C>, DecoderError> {
    spec.names = spec
        .names
        .unwrap_with(|name| checkpoint.tensor(name).is_some());
    let plan = CachePlan::new(&spec);
    // What the layers of two backends have of a block goes nowhere: one of them is the processor.
    let n_kept = match &last {
        None => backend.n_kept_blocks(&plan),
        Some(_) => 0,
    };
    let cache = Cache::new(plan, max_tokens, max_sequences).keeping(n_kept);
    let mut claimed = HashSet::new();
    let mut source = Source {
        spec: &spec,
        checkpoint,
        claimed: &mut claimed,
        cache: &cache,
    };
    let n_layers = spec.layers.len();
    let n_first = last.as_ref().map_or(n_layers, |(_, first)| *first);
    let first = source.stage(backend, 0..n_first, (true, last.is_none()))?;
    let last = last.map(|(backend, first)| source.stage(backend, first..n_layers, (false, true)));
    let last = last.transpose()?;
    check_all_claimed(&spec, checkpoint, &claimed)?;
    Ok(Decoder {
        first,
        last,
        between: Vec::new(),
        ropes: spec.ropes.iter().map(RopeTable::new).collect(),
        cache,
        copies: Vec::new(),
        plan: StepPlan::default(),
        output: Vec::new(),
        spec,
    })
}

/// Where stages come from.
struct Source<'a> {
    spec: &'a ArchSpec,
    checkpoint: &'a Checkpoint,
    claimed: &'a mut HashSet<String>,
    cache: &'a Cache,
}

impl Source<'_> {
    fn stage<B: Backend>(
        &mut self,
        backend: B,
        layers: Range<usize>,
        (is_first, is_last): (bool, bool),
    ) -> Result<Stage<B>, DecoderError> {
        let plan = self.cache.plan();
        let mut loader = Loader {
            backend: &backend,
            spec: self.spec,
            checkpoint: self.checkpoint,
            claimed: self.claimed,
        };
        let embedding = is_first.then(|| loader.embedding()).transpose()?;
        let own = layers
            .clone()
            .map(|layer_idx| loader.layer(layer_idx, plan.layers[layer_idx]));
        Ok(Stage {
            embedding,
            layers: own.collect::<Result<_, _>>()?,
            head: is_last.then(|| loader.head()).transpose()?,
            state: backend.state(plan, self.cache.capacity(), layers.clone())?,
            buffers: buffers(&backend, self.spec)?,
            first_layer: layers.start,
            backend,
        })
    }
}

fn buffers<B: Backend>(backend: &B, spec: &ArchSpec) -> Result<Buffers<B::Buffer>, DecoderError> {
    let Widths {
        q, kv, mixed, ffn, ..
    } = spec.widths();
    let buffer = |width| backend.buffer(backend.prefill_rows(), width);
    Ok(Buffers {
        residual: buffer(spec.hidden_size)?,
        normed: buffer(spec.hidden_size)?,
        output: buffer(spec.hidden_size)?,
        q: buffer(q)?,
        k: buffer(kv)?,
        v: buffer(kv)?,
        mixed: buffer(mixed)?,
        gated: buffer(ffn)?,
    })
}

struct Loader<'a, B> {
    backend: &'a B,
    spec: &'a ArchSpec,
    checkpoint: &'a Checkpoint,
    claimed: &'a mut HashSet<String>,
}

impl<B: Backend> Loader<'_, B> {
    fn embedding(&mut self) -> Result<B::Weight, DecoderError> {
        let embedding = self.embedding_tensor()?;
        Ok(self.backend.table(&embedding)?)
    }

    fn embedding_tensor(&mut self) -> Result<MappedTensor, DecoderError> {
        let shape = [self.spec.vocab_size, self.spec.hidden_size];
        self.checked(Role::Embedding, None, &shape)
    }

    fn head(&mut self) -> Result<Head<B::Weight>, DecoderError> {
        let (vocab, hidden) = (self.spec.vocab_size, self.spec.hidden_size);
        let norm = self.vector(Role::FinalNorm, None, hidden)?;
        let name = format!("{}.weight", self.spec.names.name(Role::Head, None, None));
        let stored = self.checkpoint.tensor(&name).is_some();
        let weight = match self.spec.tied_head {
            // Some checkpoints store the head although it is the embedding.
            Some(true) => {
                self.claimed.insert(name);
                self.backend.matrix(&self.embedding_tensor()?)?
            }
            None if !stored => self.backend.matrix(&self.embedding_tensor()?)?,
            _ => self.matrix(Role::Head, None, [vocab, hidden])?,
        };
        Ok(Head { norm, weight })
    }

    fn layer(
        &mut self,
        layer_idx: usize,
        slot: LayerSlot,
    ) -> Result<Layer<B::Weight>, DecoderError> {
        let spec = &self.spec.layers[layer_idx];
        let at = Some(layer_idx);
        let mut norm = |role, wanted: bool| {
            wanted
                .then(|| self.vector(role, at, self.spec.hidden_size))
                .transpose()
        };
        let norms = [
            norm(Role::MixerNorm, spec.norms.input)?,
            norm(Role::MixerOutputNorm, spec.norms.output)?,
            norm(Role::FfnNorm, spec.norms.input)?,
            norm(Role::FfnOutputNorm, spec.norms.output)?,
        ];
        let mixer = match &spec.mixer {
            MixerSpec::Attention(attention) => self.attention(layer_idx, attention)?,
            MixerSpec::ShortConv(conv) => self.short_conv(layer_idx, conv)?,
        };
        let ffn = match &spec.ffn {
            FfnSpec::Gated {
                width, fused, bias, ..
            } => self.gated(layer_idx, *width, *fused, *bias)?,
            FfnSpec::Experts(experts) => Ffn::Experts(self.experts(layer_idx, experts)?),
        };
        let [mixer_norm, mixer_output_norm, ffn_norm, ffn_output_norm] = norms;
        Ok(Layer {
            mixer,
            mixer_norm,
            mixer_output_norm,
            ffn,
            ffn_norm,
            ffn_output_norm,
            slot,
        })
    }

    fn attention(
        &mut self,
        layer_idx: usize,
        spec: &AttentionSpec,
    ) -> Result<Mixer<B::Weight>, DecoderError> {
        let at = Some(layer_idx);
        let hidden = self.spec.hidden_size;
        let (wide, narrow) = (
            spec.n_heads * spec.head_dim,
            spec.n_kv_heads * spec.head_dim,
        );
        let [q, k, v] = if spec.fused_qkv {
            self.split(
                Role::QueryKeyValue,
                layer_idx,
                [wide, narrow, narrow],
                hidden,
                spec.qkv_bias,
            )?
        } else {
            [
                self.linear(Role::Query, at, [wide, hidden], spec.qkv_bias)?,
                self.linear(Role::Key, at, [narrow, hidden], spec.qkv_bias)?,
                self.linear(Role::Value, at, [narrow, hidden], spec.qkv_bias)?,
            ]
        };
        let (query_norm, key_norm) = match spec.qk_norm {
            QkNorm::None => (None, None),
            QkNorm::Head => (Some(spec.head_dim), Some(spec.head_dim)),
            QkNorm::All => (Some(wide), Some(narrow)),
        };
        Ok(Mixer::Attention {
            q,
            k,
            v,
            output: self.linear(Role::Output, at, [hidden, wide], spec.output_bias)?,
            query_norm: query_norm
                .map(|width| self.vector(Role::QueryNorm, at, width))
                .transpose()?,
            key_norm: key_norm
                .map(|width| self.vector(Role::KeyNorm, at, width))
                .transpose()?,
        })
    }

    fn short_conv(
        &mut self,
        layer_idx: usize,
        spec: &ShortConvSpec,
    ) -> Result<Mixer<B::Weight>, DecoderError> {
        let (at, bias) = (Some(layer_idx), Some(spec.bias));
        let hidden = self.spec.hidden_size;
        let filter = self.tensor(Role::ConvFilter, at, None, "weight")?;
        // Stored as a convolution over one input channel, or with that dimension dropped.
        let shapes = [
            vec![spec.width, 1, spec.kernel],
            vec![spec.width, spec.kernel],
        ];
        if !shapes.iter().any(|shape| shape == filter.shape()) {
            return Err(shape_error(&filter, &shapes[0]));
        }
        let filter_bias = spec
            .bias
            .then(|| self.bias(Role::ConvFilter, at, spec.width))
            .transpose()?;
        Ok(Mixer::ShortConv {
            input: self.linear(Role::ConvIn, at, [3 * spec.width, hidden], bias)?,
            filter: self.backend.vector(&filter)?,
            filter_bias,
            output: self.linear(Role::ConvOut, at, [hidden, spec.width], bias)?,
        })
    }

    fn gated(
        &mut self,
        layer_idx: usize,
        width: usize,
        fused: bool,
        bias: Option<bool>,
    ) -> Result<Ffn<B::Weight>, DecoderError> {
        let at = Some(layer_idx);
        let hidden = self.spec.hidden_size;
        let [gate, up] = if fused {
            self.split(Role::GateUp, layer_idx, [width, width], hidden, bias)?
        } else {
            [
                self.linear(Role::Gate, at, [width, hidden], bias)?,
                self.linear(Role::Up, at, [width, hidden], bias)?,
            ]
        };
        Ok(Ffn::Gated {
            gate,
            up,
            down: self.linear(Role::Down, at, [hidden, width], bias)?,
        })
    }

    fn experts(
        &mut self,
        layer_idx: usize,
        spec: &ExpertsSpec,
    ) -> Result<Experts<B::Weight>, DecoderError> {
        let hidden = self.spec.hidden_size;
        let mut each = |role, shape: [usize; 2]| -> Result<Vec<B::Weight>, DecoderError> {
            let tensors: Vec<MappedTensor> = if self.spec.names.experts_stacked() {
                let stack = self.tensor(role, Some(layer_idx), None, "weight")?;
                check_shape(&stack, &[spec.n_experts, shape[0], shape[1]])?;
                let experts = 0..spec.n_experts;
                let one = |expert| stack.index_outer(expert);
                experts.map(one).collect::<Result<_, _>>()?
            } else {
                let one = |expert| {
                    let tensor = self.tensor(role, Some(layer_idx), Some(expert), "weight")?;
                    check_shape(&tensor, &shape)?;
                    Ok(tensor)
                };
                let experts = 0..spec.n_experts;
                experts.map(one).collect::<Result<_, DecoderError>>()?
            };
            Ok(self.backend.matrices(&tensors)?)
        };
        Ok(Experts {
            gate: each(Role::ExpertGate, [spec.width, hidden])?,
            up: each(Role::ExpertUp, [spec.width, hidden])?,
            down: each(Role::ExpertDown, [hidden, spec.width])?,
            router: self.matrix(Role::Router, Some(layer_idx), [spec.n_experts, hidden])?,
        })
    }

    /// A stack of projections that the file keeps as one matrix.
    fn split<const N: usize>(
        &mut self,
        role: Role,
        layer_idx: usize,
        heights: [usize; N],
        width: usize,
        bias: Option<bool>,
    ) -> Result<[Linear<B::Weight>; N], DecoderError> {
        let at = Some(layer_idx);
        let total = heights.iter().sum();
        let weight = self.tensor(role, at, None, "weight")?;
        check_shape(&weight, &[total, width])?;
        let bias = self
            .has_bias(role, at, bias)
            .then(|| self.tensor(role, at, None, "bias"))
            .transpose()?;
        bias.iter()
            .try_for_each(|bias| check_shape(bias, &[total]))?;
        let mut parts = Vec::with_capacity(N);
        let mut first = 0;
        for height in heights {
            let rows = first..first + height;
            let bias = bias
                .as_ref()
                .map(|bias| bias.slice_outer(rows.clone()))
                .transpose()?;
            parts.push(Linear {
                weight: self.backend.matrix(&weight.slice_outer(rows)?)?,
                bias: bias.map(|bias| self.backend.vector(&bias)).transpose()?,
            });
            first += height;
        }
        Ok(parts
            .try_into()
            .unwrap_or_else(|_| unreachable!("one part per height")))
    }

    fn linear(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        shape: [usize; 2],
        bias: Option<bool>,
    ) -> Result<Linear<B::Weight>, DecoderError> {
        let weight = self.matrix(role, layer_idx, shape)?;
        let bias = self
            .has_bias(role, layer_idx, bias)
            .then(|| self.bias(role, layer_idx, shape[0]))
            .transpose()?;
        Ok(Linear { weight, bias })
    }

    fn has_bias(&self, role: Role, layer_idx: Option<usize>, told: Option<bool>) -> bool {
        let stored = || {
            self.checkpoint
                .tensor(&format!(
                    "{}.bias",
                    self.spec.names.name(role, layer_idx, None)
                ))
                .is_some()
        };
        told.unwrap_or_else(stored)
    }

    fn bias(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        len: usize,
    ) -> Result<B::Weight, DecoderError> {
        let tensor = self.tensor(role, layer_idx, None, "bias")?;
        check_shape(&tensor, &[len])?;
        Ok(self.backend.vector(&tensor)?)
    }

    fn vector(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        len: usize,
    ) -> Result<B::Weight, DecoderError> {
        let tensor = self.checked(role, layer_idx, &[len])?;
        Ok(self.backend.vector(&tensor)?)
    }

    fn matrix(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        shape: [usize; 2],
    ) -> Result<B::Weight, DecoderError> {
        let tensor = self.checked(role, layer_idx, &shape)?;
        Ok(self.backend.matrix(&tensor)?)
    }

    fn checked(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        shape: &[usize],
    ) -> Result<MappedTensor, DecoderError> {
        let tensor = self.tensor(role, layer_idx, None, "weight")?;
        check_shape(&tensor, shape)?;
        Ok(tensor)
    }

    fn tensor(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        expert_idx: Option<usize>,
        ending: &str,
    ) -> Result<MappedTensor, DecoderError> {
        let name = format!(
            "{}.{ending}",
            self.spec.names.name(role, layer_idx, expert_idx)
        );
        let found = self.checkpoint.tensor(&name);
        let tensor = found.ok_or_else(|| DecoderError::MissingTensor {
            name: name.clone(),
            family: self.spec.family.clone(),
        })?;
        self.claimed.insert(name);
        Ok(tensor)
    }
}

fn check_all_claimed(
    spec: &ArchSpec,
    checkpoint: &Checkpoint,
    claimed: &HashSet<String>,
) -> Result<(), DecoderError> {
    let names = checkpoint.tensors().map(MappedTensor::name);
    let mut left = names.filter(|name| !claimed.contains(*name) && !spec.names.is_ignored(name));
    match left.next() {
        None => Ok(()),
        Some(first) => Err(DecoderError::UnclaimedTensors {
            first: first.to_owned(),
            count: 1 + left.count(),
            family: spec.family.clone(),
        }),
    }
}

fn check_shape(tensor: &MappedTensor, expected: &[usize]) -> Result<(), DecoderError> {
    if tensor.shape() == expected {
        Ok(())
    } else {
        Err(shape_error(tensor, expected))
    }
}

fn shape_error(tensor: &MappedTensor, expected: &[usize]) -> DecoderError {
    DecoderError::Shape {
        name: tensor.name().to_owned(),
        found: tensor.shape().to_vec(),
        expected: expected.to_vec(),
    }
}

//! From the tensors of a safetensors model to those that GGUF files have.
//!
//! What a family's convention changes: names; experts lie in one tensor per layer; the offset of
//! norms is part of their weights; queries and keys are permuted where GGUF's position encoding
//! pairs neighbours; short convolutions have no dimension for their one input channel.

use std::collections::HashSet;

use super::QuantizeError;
use crate::spec::{
    ArchSpec, AttentionSpec, Family, FfnSpec, LayerSpec, MixerSpec, QkNorm, Role, TensorNames,
};
use crate::weights::{Checkpoint, MappedTensor};

/// A tensor of the new file: where its values come from.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) name: String,
    /// Outermost first.
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Where values come from.
#[derive(Debug)]
pub(super) enum Values {
    /// Tensors of the source, one behind the other, all with the same rows.
    Stored {
        parts: Vec<MappedTensor>,
        rows: RowOrder,
        /// Added to every value.
        offset: f32,
    },
    /// A small table that was computed.
    Computed(Vec<f32>),
}

/// The order of rows in the new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowOrder {
    Same,
    /// In heads of `head_dim` rows the first and second half of the first `dims` alternate:
    /// row 2i is the source's i, row 2i + 1 is i + dims/2.
    Interleaved {
        head_dim: usize,
        dims: usize,
    },
}

impl RowOrder {
    /// The row of the source that stands at `row`.
    pub(super) fn source(self, row: usize) -> usize {
        let Self::Interleaved { head_dim, dims } = self else {
            return row;
        };
        let (head, at) = (row / head_dim * head_dim, row % head_dim);
        if at >= dims {
            return row;
        }
        head + at / 2 + at % 2 * (dims / 2)
    }
}

impl Output {
    /// A tensor as the source has it.
    pub(super) fn same(tensor: MappedTensor) -> Self {
        Self {
            name: tensor.name().to_owned(),
            shape: tensor.shape().to_vec(),
            values: Values::Stored {
                parts: vec![tensor],
                rows: RowOrder::Same,
                offset: 0.0,
            },
        }
    }

    /// A table of float32.
    pub(super) fn table(name: &str, values: Vec<f32>) -> Self {
        Self {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: Values::Computed(values),
        }
    }
}

/// The tensors of a safetensors model under GGUF's names, in the order of the layers.
///
/// # Errors
/// If a tensor is missing, unknown, or of a shape that cannot be converted.
pub(super) fn convert(
    checkpoint: &Checkpoint,
    spec: &ArchSpec,
    target: &Family,
) -> Result<Vec<Output>, QuantizeError> {
    let has = |name: &str| checkpoint.tensor(name).is_some();
    let mut converter = Converter {
        checkpoint,
        spec,
        interleaved: target.rope.gguf_interleaved,
        from: spec.names.clone().unwrap_with(has),
        to: TensorNames::new(true, &target.names),
        claimed: HashSet::new(),
        outputs: Vec::new(),
    };
    converter.model()?;
    converter.check_all_claimed()?;
    Ok(converter.outputs)
}

struct Converter<'a> {
    checkpoint: &'a Checkpoint,
    spec: &'a ArchSpec,
    interleaved: bool,
    from: TensorNames,
    to: TensorNames,
    claimed: HashSet<String>,
    outputs: Vec<Output>,
}

impl Converter<'_> {
    fn model(&mut self) -> Result<(), QuantizeError> {
        self.plain(Role::Embedding, None)?;
        let spec = self.spec;
        for (layer_idx, layer) in spec.layers.iter().enumerate() {
            self.layer(layer_idx, layer)?;
        }
        self.norm(Role::FinalNorm, None)?;
        let head = format!("{}.weight", self.from.name(Role::Head, None, None));
        if self.checkpoint.tensor(&head).is_none() {
            return Ok(());
        }
        // Some checkpoints store the head although it is the embedding.
        match self.spec.tied_head {
            Some(true) => {
                self.claimed.insert(head);
                Ok(())
            }
            _ => self.plain(Role::Head, None),
        }
    }

    fn layer(&mut self, layer_idx: usize, layer: &LayerSpec) -> Result<(), QuantizeError> {
        let at = Some(layer_idx);
        if layer.norms.input {
            self.norm(Role::MixerNorm, at)?;
        }
        match &layer.mixer {
            MixerSpec::Attention(attention) => self.attention(layer_idx, attention)?,
            MixerSpec::ShortConv(_) => {
                self.plain(Role::ConvIn, at)?;
                self.filter(layer_idx)?;
                self.plain(Role::ConvOut, at)?;
            }
        }
        if layer.norms.output {
            self.norm(Role::MixerOutputNorm, at)?;
        }
        if layer.norms.input {
            self.norm(Role::FfnNorm, at)?;
        }
        match &layer.ffn {
            FfnSpec::Gated { fused: true, .. } => self.plain(Role::GateUp, at)?,
            FfnSpec::Gated { .. } => {
                self.plain(Role::Gate, at)?;
                self.plain(Role::Up, at)?;
            }
            FfnSpec::Experts(experts) => {
                self.plain(Role::Router, at)?;
                for role in [Role::ExpertGate, Role::ExpertUp, Role::ExpertDown] {
                    self.experts(role, layer_idx, experts.n_experts)?;
                }
            }
        }
        if matches!(layer.ffn, FfnSpec::Gated { .. }) {
            self.plain(Role::Down, at)?;
        }
        if layer.norms.output {
            self.norm(Role::FfnOutputNorm, at)?;
        }
        Ok(())
    }

    fn attention(&mut self, layer_idx: usize, spec: &AttentionSpec) -> Result<(), QuantizeError> {
        let at = Some(layer_idx);
        if spec.fused_qkv {
            self.plain(Role::QueryKeyValue, at)?;
        } else {
            // Layers without position encoding are permuted too: scores do not change when
            // queries and keys change alike.
            let head_dim = spec.head_dim;
            let dims = spec
                .rope
                .map_or(head_dim, |rope| self.spec.ropes[rope].dims);
            let rows = match self.interleaved {
                true => RowOrder::Interleaved { head_dim, dims },
                false => RowOrder::Same,
            };
            self.linear(Role::Query, at, rows)?;
            self.linear(Role::Key, at, rows)?;
            self.plain(Role::Value, at)?;
        }
        self.plain(Role::Output, at)?;
        if spec.qk_norm != QkNorm::None {
            self.norm(Role::QueryNorm, at)?;
            self.norm(Role::KeyNorm, at)?;
        }
        Ok(())
    }

    fn plain(&mut self, role: Role, layer_idx: Option<usize>) -> Result<(), QuantizeError> {
        self.linear(role, layer_idx, RowOrder::Same)
    }

    /// A matrix and, where there is one, its bias.
    fn linear(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        rows: RowOrder,
    ) -> Result<(), QuantizeError> {
        let weight = self.claim(role, layer_idx, None, "weight")?;
        let bias = format!("{}.bias", self.from.name(role, layer_idx, None));
        let bias = match self.checkpoint.tensor(&bias) {
            Some(_) => Some(self.claim(role, layer_idx, None, "bias")?),
            None => None,
        };
        if let RowOrder::Interleaved { head_dim, .. } = rows {
            let height = |tensor: &MappedTensor| tensor.shape().first().copied().unwrap_or(0);
            let whole = |tensor: &&MappedTensor| !height(tensor).is_multiple_of(head_dim);
            if let Some(tensor) = [Some(&weight), bias.as_ref()]
                .into_iter()
                .flatten()
                .find(whole)
            {
                return Err(shape_error(tensor, format!("heads of {head_dim} rows")));
            }
        }
        let shape = weight.shape().to_vec();
        self.push(role, layer_idx, "weight", shape, vec![weight], rows, 0.0);
        if let Some(bias) = bias {
            let shape = bias.shape().to_vec();
            self.push(role, layer_idx, "bias", shape, vec![bias], rows, 0.0);
        }
        Ok(())
    }

    fn norm(&mut self, role: Role, layer_idx: Option<usize>) -> Result<(), QuantizeError> {
        let weight = self.claim(role, layer_idx, None, "weight")?;
        let shape = weight.shape().to_vec();
        let (rows, offset) = (RowOrder::Same, self.spec.norm.offset);
        self.push(role, layer_idx, "weight", shape, vec![weight], rows, offset);
        Ok(())
    }

    /// `[channels, 1, kernel]` loses its middle dimension.
    fn filter(&mut self, layer_idx: usize) -> Result<(), QuantizeError> {
        let (role, at) = (Role::ConvFilter, Some(layer_idx));
        let weight = self.claim(role, at, None, "weight")?;
        let shape = match *weight.shape() {
            [channels, 1, kernel] | [channels, kernel] => vec![channels, kernel],
            _ => return Err(shape_error(&weight, "[channels, 1, kernel]".into())),
        };
        self.push(role, at, "weight", shape, vec![weight], RowOrder::Same, 0.0);
        Ok(())
    }

    /// The experts of a layer as one tensor: `[experts, out, in]`.
    fn experts(
        &mut self,
        role: Role,
        layer_idx: usize,
        n_experts: usize,
    ) -> Result<(), QuantizeError> {
        let at = Some(layer_idx);
        let experts: Vec<_> = (0..n_experts)
            .map(|expert_idx| self.claim(role, at, Some(expert_idx), "weight"))
            .collect::<Result<_, _>>()?;
        let Some(first) = experts.first() else {
            return Ok(());
        };
        let one = first.shape().to_vec();
        if let Some(other) = experts.iter().find(|expert| expert.shape() != one) {
            return Err(shape_error(other, format!("{one:?} as other experts")));
        }
        let shape = [&[n_experts], one.as_slice()].concat();
        self.push(role, at, "weight", shape, experts, RowOrder::Same, 0.0);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // One call per kind of tensor, each saying all of it.
    fn push(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        ending: &str,
        shape: Vec<usize>,
        parts: Vec<MappedTensor>,
        rows: RowOrder,
        offset: f32,
    ) {
        // GGUF keeps matrices only in `.weight`.
        let name = format!("{}.{ending}", self.to.name(role, layer_idx, None));
        let values = Values::Stored {
            parts,
            rows,
            offset,
        };
        self.outputs.push(Output {
            name,
            shape,
            values,
        });
    }

    fn claim(
        &mut self,
        role: Role,
        layer_idx: Option<usize>,
        expert_idx: Option<usize>,
        ending: &str,
    ) -> Result<MappedTensor, QuantizeError> {
        let name = format!("{}.{ending}", self.from.name(role, layer_idx, expert_idx));
        let tensor = self.checkpoint.tensor(&name);
        let tensor = tensor.ok_or_else(|| QuantizeError::MissingTensor { name: name.clone() })?;
        self.claimed.insert(name);
        Ok(tensor)
    }

    fn check_all_claimed(&self) -> Result<(), QuantizeError> {
        let mut names = self.checkpoint.tensors().map(MappedTensor::name);
        let left = names.find(|name| !self.claimed.contains(*name) && !self.from.is_ignored(name));
        match left {
            None => Ok(()),
            Some(name) => Err(QuantizeError::UnknownTensor {
                name: name.to_owned(),
                family: self.spec.family.clone(),
            }),
        }
    }
}

fn shape_error(tensor: &MappedTensor, expected: String) -> QuantizeError {
    QuantizeError::Shape {
        name: tensor.name().to_owned(),
        found: tensor.shape().to_vec(),
        expected,
    }
}

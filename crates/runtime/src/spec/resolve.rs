//! Family file + hyperparameters → [`ArchSpec`]. Every pattern over layers is expanded here.

use serde_json::Value;

use super::{
    ArchSpec, AttentionSpec, BlockNorms, ExpertsSpec, Family, FfnSpec, Hyper, LayerSpec, MixerSpec,
    NormSpec, QueryGrowth, RopeScaling, RopeSpec, ShortConvSpec, SpecError, TensorNames,
    family::BlockStyle, hyper::HyperRope,
};
use crate::weights::Checkpoint;

impl ArchSpec {
    /// The spec of a checkpoint, from its GGUF metadata or its `config.json`.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, SpecError> {
        let (family, hyper) = match (checkpoint.gguf(), checkpoint.config()) {
            (Some(metadata), _) => Hyper::from_gguf(checkpoint, metadata)?,
            (None, Some(config)) => Hyper::from_config(config)?,
            (None, None) => {
                return Err(SpecError::Missing {
                    place: "model folder",
                    key: "config.json".into(),
                });
            }
        };
        Self::resolve(family, &hyper)
    }

    /// The spec of a `config.json`.
    pub fn from_config(config: &Value) -> Result<Self, SpecError> {
        let (family, hyper) = Hyper::from_config(config)?;
        Self::resolve(family, &hyper)
    }

    /// Puts a family file and the numbers of one model together.
    pub fn resolve(family: &Family, hyper: &Hyper) -> Result<Self, SpecError> {
        let mut resolver = Resolver {
            family,
            hyper,
            ropes: Vec::new(),
            head_dim: 0,
        };
        resolver.head_dim = resolver.head_dim()?;
        let layers = (0..hyper.n_layers)
            .map(|layer_idx| resolver.layer(layer_idx))
            .collect::<Result<_, _>>()?;
        let positive = |value: Option<f32>| value.filter(|value| *value > 0.0);
        Ok(Self {
            family: family.name.clone(),
            vocab_size: hyper.vocab_size,
            hidden_size: hyper.hidden_size,
            context_len: hyper.context_len,
            layers,
            norm: NormSpec {
                eps: hyper.norm_eps as f32,
                // Converters to GGUF fold the offset into the weights.
                offset: if hyper.gguf { 0.0 } else { family.norm_offset },
            },
            embed_scale: if family.scaled_embedding {
                (hyper.hidden_size as f32).sqrt()
            } else {
                1.0
            },
            tied_head: hyper.tied_head,
            logit_softcap: positive(hyper.logit_softcap),
            ropes: resolver.ropes,
            names: TensorNames::new(hyper.gguf, &family.names),
        })
    }
}

struct Resolver<'a> {
    family: &'a Family,
    hyper: &'a Hyper,
    ropes: Vec<RopeSpec>,
    head_dim: usize,
}

impl Resolver<'_> {
    fn layer(&mut self, layer_idx: usize) -> Result<LayerSpec, SpecError> {
        let (input, output) = match self.family.block {
            BlockStyle::PreNorm => (true, false),
            BlockStyle::Sandwich => (true, true),
            BlockStyle::PostNorm => (false, true),
        };
        Ok(LayerSpec {
            mixer: self.mixer(layer_idx)?,
            ffn: self.ffn(layer_idx)?,
            norms: BlockNorms { input, output },
        })
    }

    fn mixer(&mut self, layer_idx: usize) -> Result<MixerSpec, SpecError> {
        match &self.hyper.short_conv {
            Some(conv) if conv.layers[layer_idx] => Ok(MixerSpec::ShortConv(ShortConvSpec {
                width: self.hyper.hidden_size,
                kernel: conv.kernel,
                bias: conv.bias,
            })),
            _ => Ok(MixerSpec::Attention(self.attention(layer_idx)?)),
        }
    }

    fn attention(&mut self, layer_idx: usize) -> Result<AttentionSpec, SpecError> {
        let hyper = self.hyper;
        let windowed = hyper
            .windowed
            .as_ref()
            .is_some_and(|layers| layers[layer_idx]);
        if windowed && hyper.window.is_none() {
            return Err(self.invalid(
                "sliding_window",
                "absent",
                "a width, as some layers have a window",
            ));
        }
        let without_rope = hyper
            .without_rope
            .as_ref()
            .is_some_and(|layers| layers[layer_idx]);
        let rope = match (&hyper.sliding_rope, windowed) {
            (Some(sliding), true) => sliding,
            _ => &hyper.rope,
        };
        let scalar = hyper.query_scalar.unwrap_or(self.head_dim as f32);
        Ok(AttentionSpec {
            n_heads: hyper.n_heads,
            n_kv_heads: hyper.n_kv_heads.unwrap_or(hyper.n_heads),
            head_dim: self.head_dim,
            scale: scalar.sqrt().recip(),
            window: hyper.window.filter(|_| windowed),
            rope: if without_rope {
                None
            } else {
                Some(self.rope(rope)?)
            },
            qk_norm: self.family.qk_norm,
            qkv_bias: hyper.qkv_bias,
            output_bias: hyper.output_bias,
            fused_qkv: self.family.fused.qkv,
            query_growth: hyper
                .rope
                .query_growth
                .map(|(beta, period)| QueryGrowth { beta, period }),
        })
    }

    fn ffn(&self, layer_idx: usize) -> Result<FfnSpec, SpecError> {
        let activation = self.hyper.activation.unwrap_or(self.family.activation);
        if let Some(experts) = self
            .hyper
            .experts
            .as_ref()
            .filter(|experts| experts.layers[layer_idx])
        {
            if experts.top_k > experts.n_experts {
                let expected = format!("at most the {} experts that there are", experts.n_experts);
                return Err(self.invalid(
                    "num_experts_per_tok",
                    &experts.top_k.to_string(),
                    &expected,
                ));
            }
            return Ok(FfnSpec::Experts(ExpertsSpec {
                n_experts: experts.n_experts,
                top_k: experts.top_k,
                width: experts.width,
                activation,
                normalize: experts.normalize,
            }));
        }
        let width = self.hyper.ffn_size.ok_or_else(|| SpecError::Missing {
            place: self.hyper.place,
            key: "intermediate_size".into(),
        })?;
        Ok(FfnSpec::Gated {
            width,
            activation,
            fused: self.family.fused.gate_up,
            bias: self.hyper.mlp_bias,
        })
    }

    /// The index of an encoding, which layers share.
    fn rope(&mut self, rope: &HyperRope) -> Result<usize, SpecError> {
        let dims = rope
            .dims
            .unwrap_or_else(|| (self.head_dim as f64 * rope.share.unwrap_or(1.0)) as usize);
        if dims == 0 || dims > self.head_dim || !dims.is_multiple_of(2) {
            let expected = format!(
                "an even number of elements up to the head's {}",
                self.head_dim
            );
            return Err(self.invalid("rotary dimensions", &dims.to_string(), &expected));
        }
        let theta = rope.theta.unwrap_or(self.family.rope.theta);
        // Smaller bases make no decreasing series, and the logarithm of 1 is a divisor.
        if theta.is_nan() || theta <= 1.0 {
            return Err(self.invalid("rope_theta", &theta.to_string(), "above 1"));
        }
        self.check_factors(&rope.scaling, dims)?;
        let interleaved = self.hyper.gguf && self.family.rope.gguf_interleaved;
        let spec = RopeSpec {
            dims,
            theta,
            interleaved,
            scaling: rope.scaling.clone(),
        };
        Ok(self
            .ropes
            .iter()
            .position(|known| *known == spec)
            .unwrap_or_else(|| {
                self.ropes.push(spec);
                self.ropes.len() - 1
            }))
    }

    fn check_factors(&self, scaling: &RopeScaling, dims: usize) -> Result<(), SpecError> {
        let lists = match scaling {
            RopeScaling::LongRope { short, long, .. } => vec![short, long],
            RopeScaling::Divisors(divisors) => vec![divisors],
            _ => vec![],
        };
        match lists.iter().find(|list| list.len() != dims / 2) {
            Some(list) => Err(self.invalid(
                "rope factors",
                &format!("{} values", list.len()),
                &format!("{} values", dims / 2),
            )),
            None => Ok(()),
        }
    }

    fn head_dim(&self) -> Result<usize, SpecError> {
        let hyper = self.hyper;
        let kv_heads = hyper.n_kv_heads.unwrap_or(hyper.n_heads);
        if !hyper.n_heads.is_multiple_of(kv_heads) {
            let expected = format!("a divisor of the {} query heads", hyper.n_heads);
            return Err(self.invalid("num_key_value_heads", &kv_heads.to_string(), &expected));
        }
        if let Some(head_dim) = hyper.head_dim.or(self.family.head_dim) {
            return Ok(head_dim);
        }
        if !hyper.hidden_size.is_multiple_of(hyper.n_heads) {
            let expected = format!("a divisor of the hidden size {}", hyper.hidden_size);
            return Err(self.invalid("num_attention_heads", &hyper.n_heads.to_string(), &expected));
        }
        Ok(hyper.hidden_size / hyper.n_heads)
    }

    fn invalid(&self, key: &str, found: &str, expected: &str) -> SpecError {
        SpecError::Invalid {
            place: self.hyper.place,
            key: key.into(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}

//! GGUF metadata → [`Hyper`]. Keys are those of the format's specification, below the name of the
//! architecture.

use super::{
    Family, RopeScaling, SpecError,
    config_json::{MAX_LAYERS, MAX_SIZE},
    family::{Flag, WindowLayers},
    hyper::{Hyper, HyperExperts, HyperRope, HyperShortConv},
    rope::yarn_mscale,
};
use crate::weights::{Checkpoint, gguf::Metadata};

const PLACE: &str = "GGUF metadata";

impl Hyper {
    /// Reads metadata, and the frequency tables that some files keep among the tensors.
    pub fn from_gguf(
        checkpoint: &Checkpoint,
        metadata: &Metadata,
    ) -> Result<(&'static Family, Self), SpecError> {
        let arch = metadata.str("general.architecture")?;
        let family = Family::by_gguf_arch(arch)?;
        let reader = Reader {
            metadata,
            arch,
            checkpoint,
            family,
        };
        Ok((family, reader.hyper()?))
    }
}

struct Reader<'a> {
    metadata: &'a Metadata,
    arch: &'a str,
    checkpoint: &'a Checkpoint,
    family: &'static Family,
}

impl Reader<'_> {
    fn hyper(&self) -> Result<Hyper, SpecError> {
        self.refuse_unsupported()?;
        let n_layers = self.needed("block_count")?;
        if n_layers > MAX_LAYERS {
            return Err(self.invalid(
                "block_count",
                n_layers.to_string(),
                format!("at most {MAX_LAYERS}"),
            ));
        }
        let (hidden_size, n_heads) = (
            self.needed("embedding_length")?,
            self.needed("attention.head_count")?,
        );
        let context_len = self.needed("context_length")?;
        let window = self.size("attention.sliding_window")?;
        let rope = self.rope(context_len)?;
        let short_conv = self.short_conv(n_layers)?;
        Ok(Hyper {
            place: PLACE,
            n_layers,
            hidden_size,
            ffn_size: self.size("feed_forward_length")?,
            n_heads,
            n_kv_heads: self.kv_heads(short_conv.as_ref())?,
            head_dim: self.size("attention.key_length")?,
            vocab_size: self.vocab_size()?,
            context_len,
            norm_eps: self
                .number("attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| self.missing("attention.layer_norm_rms_epsilon"))?,
            tied_head: None,
            activation: None,
            logit_softcap: self
                .number("final_logit_softcapping")?
                .map(|cap| cap as f32),
            query_scalar: self.query_scalar(n_layers)?,
            sliding_rope: self.sliding_rope(&rope)?,
            rope,
            windowed: window
                .map(|_| self.windowed(n_layers))
                .transpose()?
                .flatten(),
            window,
            without_rope: self.family.rope.skip_every.map(|every| {
                (0..n_layers)
                    .map(|layer| (layer + 1) % every == 0)
                    .collect()
            }),
            qkv_bias: fixed(&self.family.bias.qkv),
            output_bias: fixed(&self.family.bias.output),
            mlp_bias: fixed(&self.family.bias.mlp),
            experts: self.experts(n_layers)?,
            short_conv,
            gguf: true,
        })
    }

    fn refuse_unsupported(&self) -> Result<(), SpecError> {
        let experts = self.size("expert_count")?;
        let refused = [
            (
                self.family.experts.is_none() && experts.is_some(),
                "expert_count",
                "a mixture of experts",
            ),
            (
                self.number("attn_logit_softcapping")?
                    .is_some_and(|cap| cap > 0.0),
                "attn_logit_softcapping",
                "softcapped scores",
            ),
        ];
        match refused.into_iter().find(|(found, ..)| *found) {
            Some((_, key, what)) => Err(SpecError::Unsupported {
                place: PLACE,
                key: self.key(key),
                what: what.into(),
            }),
            None => Ok(()),
        }
    }

    fn vocab_size(&self) -> Result<usize, SpecError> {
        let embedding = self
            .checkpoint
            .tensor("token_embd.weight")
            .and_then(|tensor| tensor.shape().first().copied());
        let listed = || {
            Ok::<_, SpecError>(
                self.metadata
                    .opt_strings("tokenizer.ggml.tokens")?
                    .map(|tokens| tokens.len()),
            )
        };
        match embedding {
            Some(rows) => Ok(rows),
            None => match self.size("vocab_size")? {
                Some(size) => Ok(size),
                None => listed()?.ok_or_else(|| self.missing("vocab_size")),
            },
        }
    }

    /// One number, or one per layer with 0 for layers that are no attention.
    fn kv_heads(&self, short_conv: Option<&HyperShortConv>) -> Result<Option<usize>, SpecError> {
        let key = "attention.head_count_kv";
        let Some(list) = self.layer_list(key)? else {
            return self.size(key);
        };
        let skipped =
            |layer: usize| short_conv.is_some_and(|conv| conv.layers.get(layer) == Some(&true));
        let mut heads = list
            .iter()
            .enumerate()
            .filter(|(layer, _)| !skipped(*layer))
            .map(|(_, heads)| *heads);
        let first = heads.next().unwrap_or(0);
        let same = first > 0 && first <= MAX_SIZE as i64 && heads.all(|other| other == first);
        if same {
            Ok(Some(first as usize))
        } else {
            Err(self.invalid(key, format!("{list:?}"), "the same in all layers".into()))
        }
    }

    fn short_conv(&self, n_layers: usize) -> Result<Option<HyperShortConv>, SpecError> {
        if self.family.short_conv.is_none() {
            return Ok(None);
        }
        let key = "attention.head_count_kv";
        let heads = self.layer_list(key)?.ok_or_else(|| self.missing(key))?;
        if heads.len() != n_layers {
            return Err(self.invalid(
                key,
                format!("{} entries", heads.len()),
                format!("{n_layers} entries, one per layer"),
            ));
        }
        let layers = heads.iter().map(|heads| *heads == 0).collect();
        Ok(Some(HyperShortConv {
            layers,
            kernel: self.needed("shortconv.l_cache")?,
            bias: false,
        }))
    }

    fn query_scalar(&self, n_layers: usize) -> Result<Option<f32>, SpecError> {
        if let Some(scale) = self.number("attention.scale")?.filter(|scale| *scale > 0.0) {
            return Ok(Some((1.0 / (scale * scale)) as f32));
        }
        let exceptions = &self.family.gguf_query_scalar;
        Ok(exceptions
            .iter()
            .find(|exception| exception.n_layers == n_layers)
            .map(|exception| exception.query_scalar))
    }

    /// From the file's own pattern (flags per layer, or a period), else from the family.
    fn windowed(&self, n_layers: usize) -> Result<Option<Vec<bool>>, SpecError> {
        let key = "attention.sliding_window_pattern";
        let all_but = |every: usize| {
            (0..n_layers)
                .map(|layer| (layer + 1) % every != 0)
                .collect()
        };
        if let Some(flags) = self.flags(key)? {
            if flags.len() != n_layers {
                return Err(self.invalid(
                    key,
                    format!("{} entries", flags.len()),
                    format!("{n_layers} entries, one per layer"),
                ));
            }
            return Ok(Some(flags));
        }
        if let Some(every) = self.size(key)? {
            return Ok(Some(all_but(every)));
        }
        Ok(
            match self.family.window.as_ref().map(|window| &window.layers) {
                Some(WindowLayers::All) => Some(vec![true; n_layers]),
                Some(WindowLayers::AllBut { every, .. }) => Some(all_but(*every)),
                Some(WindowLayers::From(_)) | None => None,
            },
        )
    }

    fn experts(&self, n_layers: usize) -> Result<Option<HyperExperts>, SpecError> {
        let Some(experts) = &self.family.experts else {
            return Ok(None);
        };
        Ok(Some(HyperExperts {
            n_experts: self.needed("expert_count")?,
            top_k: self.needed("expert_used_count")?,
            width: self.needed("expert_feed_forward_length")?,
            normalize: self
                .flag("expert_weights_norm")?
                .unwrap_or(experts.normalize),
            layers: vec![true; n_layers],
        }))
    }

    fn rope(&self, context_len: usize) -> Result<HyperRope, SpecError> {
        let original_context = self
            .size("rope.scaling.original_context_length")?
            .unwrap_or(context_len);
        let beta = self
            .number("attention.temperature_scale")?
            .filter(|beta| *beta > 0.0);
        Ok(HyperRope {
            theta: self.number("rope.freq_base")?,
            dims: self.size("rope.dimension_count")?,
            share: None,
            scaling: self.scaling(original_context)?,
            query_growth: beta.map(|beta| (beta as f32, original_context)),
        })
    }

    fn sliding_rope(&self, rope: &HyperRope) -> Result<Option<HyperRope>, SpecError> {
        let own = self
            .number("rope.freq_base_swa")?
            .or(self.family.rope.sliding_theta);
        let separate = own.is_some() || self.family.rope.sliding_unscaled;
        Ok(separate.then(|| HyperRope {
            theta: own.or(rope.theta),
            scaling: if self.family.rope.sliding_unscaled {
                RopeScaling::None
            } else {
                rope.scaling.clone()
            },
            ..rope.clone()
        }))
    }

    fn scaling(&self, original_context: usize) -> Result<RopeScaling, SpecError> {
        if let Some(divisors) = self.factors("rope_freqs.weight")? {
            return Ok(RopeScaling::Divisors(divisors));
        }
        if let (Some(long), Some(short)) = (
            self.factors("rope_factors_long.weight")?,
            self.factors("rope_factors_short.weight")?,
        ) {
            let attention_factor = self.number("rope.scaling.attn_factor")?.unwrap_or(1.0);
            return Ok(RopeScaling::LongRope {
                short,
                long,
                original_context,
                attention_factor,
            });
        }
        let kind = self
            .metadata
            .opt_str(&self.key("rope.scaling.type"))?
            .unwrap_or("none");
        let factor = self
            .number("rope.scaling.factor")?
            .filter(|factor| *factor > 0.0);
        match (kind, factor) {
            ("none" | "longrope", _) | (_, None) => Ok(RopeScaling::None),
            ("linear", Some(factor)) => Ok(RopeScaling::Linear { factor }),
            ("yarn", Some(factor)) => Ok(RopeScaling::Yarn {
                factor,
                beta_fast: self.number("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
                beta_slow: self.number("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
                original_context,
                truncate: true,
                attention_factor: self.yarn_attention_factor(factor)?,
            }),
            (other, _) => Err(SpecError::Unsupported {
                place: PLACE,
                key: self.key("rope.scaling.type"),
                what: format!(
                    "rope scaling \"{}\"",
                    other.chars().take(40).collect::<String>()
                ),
            }),
        }
    }

    /// The key holds DeepSeek's `mscale_all_dim`, whose counterpart `mscale` is 1 in files that have it.
    fn yarn_attention_factor(&self, factor: f64) -> Result<Option<f64>, SpecError> {
        let all_dims = self
            .number("rope.scaling.yarn_log_multiplier")?
            .filter(|weight| *weight != 0.0);
        Ok(all_dims.map(|all_dims| yarn_mscale(factor, 1.0) / yarn_mscale(factor, all_dims)))
    }

    /// A small table among the tensors.
    fn factors(&self, name: &str) -> Result<Option<Vec<f32>>, SpecError> {
        let Some(tensor) = self.checkpoint.tensor(name) else {
            return Ok(None);
        };
        let values = tensor.to_vec();
        match values.iter().find(|value| value.is_nan() || **value <= 0.0) {
            None => Ok(Some(values)),
            Some(value) => Err(SpecError::Invalid {
                place: PLACE,
                key: name.into(),
                found: value.to_string(),
                expected: "positive numbers".into(),
            }),
        }
    }

    // Typed access below the architecture's name.

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }

    fn needed(&self, key: &str) -> Result<usize, SpecError> {
        self.size(key)?.ok_or_else(|| self.missing(key))
    }

    /// A size. 0 means that there is none, as converters write it.
    fn size(&self, key: &str) -> Result<Option<usize>, SpecError> {
        match self.metadata.opt_u64(&self.key(key))? {
            Some(size) if size > MAX_SIZE => {
                Err(self.invalid(key, size.to_string(), format!("at most {MAX_SIZE}")))
            }
            size => Ok(size.filter(|size| *size > 0).map(|size| size as usize)),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f64>, SpecError> {
        match self.metadata.opt_f64(&self.key(key))? {
            Some(number) if !number.is_finite() => {
                Err(self.invalid(key, number.to_string(), "a finite number".into()))
            }
            number => Ok(number),
        }
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, SpecError> {
        Ok(self.metadata.opt_bool(&self.key(key))?)
    }

    /// An array of whole numbers, if the key holds an array.
    fn layer_list(&self, key: &str) -> Result<Option<Vec<i64>>, SpecError> {
        let key = self.key(key);
        let is_array = self
            .metadata
            .get(&key)
            .is_some_and(|value| value.as_array().is_some());
        if is_array {
            Ok(self.metadata.opt_i64s(&key)?)
        } else {
            Ok(None)
        }
    }

    /// An array of truth values (or of 0 and 1), if the key holds an array.
    fn flags(&self, key: &str) -> Result<Option<Vec<bool>>, SpecError> {
        let value = self
            .metadata
            .get(&self.key(key))
            .and_then(|value| value.as_array());
        let Some(array) = value else { return Ok(None) };
        let flags = array.values().map(|flag| {
            flag.as_bool()
                .or_else(|| flag.as_u64().map(|flag| flag != 0))
        });
        flags
            .collect::<Option<_>>()
            .map(Some)
            .ok_or_else(|| self.invalid(key, format!("{array:?}"), "flags".into()))
    }

    fn missing(&self, key: &str) -> SpecError {
        SpecError::Missing {
            place: PLACE,
            key: self.key(key),
        }
    }

    fn invalid(&self, key: &str, found: String, expected: String) -> SpecError {
        SpecError::Invalid {
            place: PLACE,
            key: self.key(key),
            found,
            expected,
        }
    }
}

/// A fact that the family fixes; what a configuration would decide shows in the tensors.
fn fixed(flag: &Flag) -> Option<bool> {
    match flag {
        Flag::Fixed(value) => Some(*value),
        Flag::Key(_) => None,
    }
}

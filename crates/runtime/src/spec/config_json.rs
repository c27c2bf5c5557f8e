//! `config.json` → [`Hyper`], in the formats of transformers 4 and 5.

use serde_json::{Map, Value};

use super::{
    Activation, Family, RopeScaling, SpecError,
    family::{Flag, WindowLayers},
    hyper::{Hyper, HyperExperts, HyperRope, HyperShortConv},
    rope::yarn_mscale,
};
use crate::weights::fp8_block;

const PLACE: &str = "config.json";

/// Larger sizes are refused before anything is computed from them.
pub(super) const MAX_SIZE: u64 = 1 << 28;
pub(super) const MAX_LAYERS: usize = 4096;

impl Hyper {
    /// Reads a configuration; multimodal wrappers are looked through (`text_config`).
    pub fn from_config(config: &Value) -> Result<(&'static Family, Self), SpecError> {
        let outer = Reader::new(config)?;
        let text = match outer.0.get("text_config") {
            Some(inner) => Reader::new(inner)?,
            None => Reader(outer.0),
        };
        let model_type = text.string("model_type")?.or(outer.string("model_type")?);
        let family = Family::by_model_type(model_type.ok_or_else(|| missing("model_type"))?)?;
        let mut hyper = text.hyper(family)?;
        if outer.0.contains_key("text_config") && !family.wrapper_caps_logits {
            hyper.logit_softcap = None;
        }
        hyper.tied_head = text
            .flag("tie_word_embeddings")?
            .or(outer.flag("tie_word_embeddings")?);
        Ok((family, hyper))
    }
}

struct Reader<'a>(&'a Map<String, Value>);

impl<'a> Reader<'a> {
    fn new(value: &'a Value) -> Result<Self, SpecError> {
        value
            .as_object()
            .map(Self)
            .ok_or_else(|| invalid("(top level)", value, "an object"))
    }

    fn hyper(&self, family: &Family) -> Result<Hyper, SpecError> {
        self.refuse_unsupported()?;
        let n_layers = self
            .size("num_hidden_layers")?
            .ok_or_else(|| missing("num_hidden_layers"))?;
        if n_layers > MAX_LAYERS {
            return Err(invalid(
                "num_hidden_layers",
                &n_layers.into(),
                &format!("at most {MAX_LAYERS}"),
            ));
        }
        let context_len = self
            .size("max_position_embeddings")?
            .ok_or_else(|| missing("max_position_embeddings"))?;
        let (rope, sliding_rope) = self.ropes(family, context_len)?;
        let window = self.window(family)?;
        Ok(Hyper {
            place: PLACE,
            n_layers,
            hidden_size: self.needed("hidden_size")?,
            ffn_size: self.ffn_size()?,
            n_heads: self.needed("num_attention_heads")?,
            n_kv_heads: self.size("num_key_value_heads")?,
            head_dim: self.size("head_dim")?,
            vocab_size: self.needed("vocab_size")?,
            context_len,
            norm_eps: self
                .number("rms_norm_eps")?
                .or(self.number("norm_eps")?)
                .ok_or_else(|| missing("rms_norm_eps"))?,
            tied_head: None,
            activation: self.activation()?,
            logit_softcap: self
                .number("final_logit_softcapping")?
                .map(|cap| cap as f32),
            query_scalar: self
                .number("query_pre_attn_scalar")?
                .map(|scalar| scalar as f32),
            rope,
            sliding_rope,
            windowed: window
                .map(|_| self.windowed(family, n_layers))
                .transpose()?
                .flatten(),
            window,
            without_rope: self.without_rope(family, n_layers)?,
            short_conv: self.short_conv(family, n_layers)?,
            qkv_bias: Some(self.family_flag(&family.bias.qkv)?),
            output_bias: Some(self.family_flag(&family.bias.output)?),
            mlp_bias: Some(self.family_flag(&family.bias.mlp)?),
            experts: self.experts(family, n_layers)?,
            gguf: false,
        })
    }

    /// Mechanisms that some family of the field has and this build does not.
    fn refuse_unsupported(&self) -> Result<(), SpecError> {
        for key in [
            "attn_logit_softcapping",
            "quantization_config",
            "kv_lora_rank",
        ] {
            let is_fp8 = |value: &Value| key == "quantization_config" && fp8_block(value).is_some();
            if self.get(key).is_some_and(|value| !is_fp8(value)) {
                return Err(SpecError::Unsupported {
                    place: PLACE,
                    key: key.into(),
                    what: key.replace('_', " "),
                });
            }
        }
        if self.flag("use_bidirectional_attention")? == Some(true) {
            let key = "use_bidirectional_attention".into();
            return Err(SpecError::Unsupported {
                place: PLACE,
                key,
                what: "attention in both directions".into(),
            });
        }
        Ok(())
    }

    /// The inner width, which some configurations give before rounding.
    fn ffn_size(&self) -> Result<Option<usize>, SpecError> {
        let Some(size) = self.size("intermediate_size")? else {
            return Ok(None);
        };
        if self.flag("block_auto_adjust_ff_dim")? != Some(true) {
            return Ok(Some(size));
        }
        let factor = self
            .number("block_ffn_dim_multiplier")?
            .unwrap_or(1.0)
            .clamp(0.0, 16.0);
        let multiple = self.size("block_multiple_of")?.unwrap_or(1);
        let adjusted = (factor * (2 * size / 3) as f64) as usize;
        Ok(Some(adjusted.max(1).next_multiple_of(multiple)))
    }

    fn window(&self, family: &Family) -> Result<Option<usize>, SpecError> {
        let key = family
            .window
            .as_ref()
            .and_then(|window| window.enabled_by.as_deref());
        let enabled = match key {
            Some(key) => self.flag(key)?.unwrap_or(false),
            None => true,
        };
        Ok(self.size("sliding_window")?.filter(|_| enabled))
    }

    fn windowed(&self, family: &Family, n_layers: usize) -> Result<Option<Vec<bool>>, SpecError> {
        if let Some(types) = self.layer_types(n_layers)? {
            return Ok(Some(
                types
                    .iter()
                    .map(|kind| *kind == "sliding_attention")
                    .collect(),
            ));
        }
        let Some(window) = &family.window else {
            return Ok(None);
        };
        Ok(Some(match &window.layers {
            WindowLayers::All => vec![true; n_layers],
            WindowLayers::AllBut { keys, every } => {
                let found = keys
                    .iter()
                    .find_map(|key| self.size(key).transpose())
                    .transpose()?;
                let every = found.unwrap_or(*every);
                (0..n_layers)
                    .map(|layer| (layer + 1) % every != 0)
                    .collect()
            }
            WindowLayers::From(key) => {
                let from = self.count(key)?.unwrap_or(0);
                (0..n_layers).map(|layer| layer >= from).collect()
            }
        }))
    }

    fn layer_types(&self, n_layers: usize) -> Result<Option<Vec<&'a str>>, SpecError> {
        let Some(value) = self.get("layer_types") else {
            return Ok(None);
        };
        let list = self.list("layer_types", value, n_layers)?;
        let types = list.iter().map(|kind| {
            kind.as_str()
                .ok_or_else(|| invalid("layer_types", kind, "a string"))
        });
        types.collect::<Result<Vec<_>, _>>().map(Some)
    }

    fn without_rope(
        &self,
        family: &Family,
        n_layers: usize,
    ) -> Result<Option<Vec<bool>>, SpecError> {
        let rope = &family.rope;
        if let Some((key, value)) = rope
            .skip_list_key
            .as_deref()
            .and_then(|key| Some((key, self.get(key)?)))
        {
            let list = self.list(key, value, n_layers)?;
            let skip = list.iter().map(|flag| {
                flag.as_u64()
                    .map(|flag| flag == 0)
                    .ok_or_else(|| invalid(key, flag, "0 or 1"))
            });
            return skip.collect::<Result<Vec<_>, _>>().map(Some);
        }
        let own = rope
            .skip_every_key
            .as_deref()
            .map(|key| self.size(key))
            .transpose()?
            .flatten();
        Ok(own.or(rope.skip_every).map(|every| {
            (0..n_layers)
                .map(|layer| (layer + 1) % every == 0)
                .collect()
        }))
    }

    fn short_conv(
        &self,
        family: &Family,
        n_layers: usize,
    ) -> Result<Option<HyperShortConv>, SpecError> {
        let Some(conv) = &family.short_conv else {
            return Ok(None);
        };
        let types = self
            .layer_types(n_layers)?
            .ok_or_else(|| missing("layer_types"))?;
        Ok(Some(HyperShortConv {
            layers: types.iter().map(|kind| *kind == conv.layer_type).collect(),
            kernel: self.needed(&conv.kernel_key)?,
            bias: self.flag(&conv.bias_key)?.unwrap_or(false),
        }))
    }

    fn experts(&self, family: &Family, n_layers: usize) -> Result<Option<HyperExperts>, SpecError> {
        let Some(experts) = &family.experts else {
            return Ok(None);
        };
        let n_experts = self
            .size("num_experts")?
            .or(self.size("num_local_experts")?)
            .ok_or_else(|| missing("num_experts"))?;
        let step = self.size("decoder_sparse_step")?.unwrap_or(1);
        let dense: Vec<u64> = match self.get("mlp_only_layers") {
            Some(Value::Array(layers)) => layers.iter().filter_map(Value::as_u64).collect(),
            _ => Vec::new(),
        };
        Ok(Some(HyperExperts {
            n_experts,
            top_k: self.needed("num_experts_per_tok")?,
            width: self.needed("moe_intermediate_size")?,
            normalize: self
                .flag(&experts.normalize_key)?
                .unwrap_or(experts.normalize),
            layers: (0..n_layers)
                .map(|layer| !dense.contains(&(layer as u64)) && (layer + 1) % step == 0)
                .collect(),
        }))
    }

    fn activation(&self) -> Result<Option<Activation>, SpecError> {
        let key = if self.get("hidden_activation").is_some() {
            "hidden_activation"
        } else {
            "hidden_act"
        };
        let Some(name) = self.get(key) else {
            return Ok(None);
        };
        serde_json::from_value(name.clone())
            .map(Some)
            .map_err(|_| invalid(key, name, "silu, gelu or gelu_pytorch_tanh"))
    }

    // Position encoding.

    fn ropes(
        &self,
        family: &Family,
        context_len: usize,
    ) -> Result<(HyperRope, Option<HyperRope>), SpecError> {
        let parameters = self.get("rope_parameters").map(Reader::new).transpose()?;
        let by_kind = |kind| {
            parameters
                .as_ref()
                .and_then(|parameters| parameters.get(kind))
        };
        if let Some(full) = by_kind("full_attention") {
            let full = self.rope(Some(&Reader::new(full)?), context_len)?;
            let sliding = by_kind("sliding_attention")
                .map(|sliding| self.rope(Some(&Reader::new(sliding)?), context_len));
            return Ok((full, sliding.transpose()?));
        }
        let scaling = self.get("rope_scaling").map(Reader::new).transpose()?;
        let rope = self.rope(parameters.as_ref().or(scaling.as_ref()), context_len)?;
        let key = family.rope.sliding_theta_key.as_deref();
        let own = key
            .map(|key| self.number(key))
            .transpose()?
            .flatten()
            .or(family.rope.sliding_theta);
        let separate = own.is_some() || family.rope.sliding_unscaled;
        let sliding = separate.then(|| HyperRope {
            theta: own.or(rope.theta),
            scaling: if family.rope.sliding_unscaled {
                RopeScaling::None
            } else {
                rope.scaling.clone()
            },
            ..rope.clone()
        });
        Ok((rope, sliding))
    }

    /// One set of parameters; what they leave out may stand beside them.
    fn rope(
        &self,
        parameters: Option<&Reader<'a>>,
        context_len: usize,
    ) -> Result<HyperRope, SpecError> {
        let either = |key: &str| -> Result<Option<f64>, SpecError> {
            Ok(parameters
                .map(|inner| inner.number(key))
                .transpose()?
                .flatten()
                .or(self.number(key)?))
        };
        let (scaling, query_growth) = match parameters {
            Some(parameters) => (
                parameters.scaling(self, context_len)?,
                parameters.query_growth(context_len)?,
            ),
            None => (RopeScaling::None, None),
        };
        Ok(HyperRope {
            theta: either("rope_theta")?,
            dims: None,
            share: either("partial_rotary_factor")?,
            scaling,
            query_growth,
        })
    }

    fn query_growth(&self, context_len: usize) -> Result<Option<(f32, usize)>, SpecError> {
        let period = self
            .size("original_max_position_embeddings")?
            .unwrap_or(context_len);
        Ok(self
            .number("llama_4_scaling_beta")?
            .map(|beta| (beta as f32, period)))
    }

    fn scaling(&self, beside: &Self, context_len: usize) -> Result<RopeScaling, SpecError> {
        let own = self.size("original_max_position_embeddings")?;
        let original = own.or(beside.size("original_max_position_embeddings")?);
        let original_context = original.unwrap_or(context_len);
        let kind = self
            .string("rope_type")?
            .or(self.string("type")?)
            .unwrap_or("default");
        let positive = |key: &str| -> Result<f64, SpecError> {
            let value = self.number(key)?.ok_or_else(|| missing(key))?;
            if value > 0.0 {
                Ok(value)
            } else {
                Err(invalid(key, &value.into(), "a positive number"))
            }
        };
        Ok(match kind {
            // "dynamic" changes nothing up to the trained context, and that is as far as we go.
            "default" | "mrope" | "dynamic" => RopeScaling::None,
            "linear" => RopeScaling::Linear {
                factor: positive("factor")?,
            },
            "llama3" => RopeScaling::Llama3 {
                factor: positive("factor")?,
                low_freq_factor: positive("low_freq_factor")?,
                high_freq_factor: positive("high_freq_factor")?,
                original_context,
            },
            "yarn" => {
                let factor = positive("factor")?;
                RopeScaling::Yarn {
                    factor,
                    beta_fast: self.number("beta_fast")?.unwrap_or(32.0),
                    beta_slow: self.number("beta_slow")?.unwrap_or(1.0),
                    original_context,
                    truncate: self.flag("truncate")?.unwrap_or(true),
                    attention_factor: self.yarn_attention_factor(factor)?,
                }
            }
            "longrope" | "su" => RopeScaling::LongRope {
                short: self.factors("short_factor")?,
                long: self.factors("long_factor")?,
                original_context,
                attention_factor: self.longrope_attention_factor(original, context_len)?,
            },
            other => {
                let what = format!(
                    "rope scaling \"{}\"",
                    other.chars().take(40).collect::<String>()
                );
                return Err(SpecError::Unsupported {
                    place: PLACE,
                    key: "rope_type".into(),
                    what,
                });
            }
        })
    }

    fn yarn_attention_factor(&self, factor: f64) -> Result<Option<f64>, SpecError> {
        let given = self.number("attention_factor")?;
        let weight = |key| -> Result<Option<f64>, SpecError> {
            Ok(self.number(key)?.filter(|weight| *weight != 0.0))
        };
        let both = weight("mscale")?.zip(weight("mscale_all_dim")?);
        Ok(given.or(both.map(|(one, all)| yarn_mscale(factor, one) / yarn_mscale(factor, all))))
    }

    fn longrope_attention_factor(
        &self,
        original: Option<usize>,
        context_len: usize,
    ) -> Result<f64, SpecError> {
        if let Some(given) = self.number("attention_factor")? {
            return Ok(given);
        }
        let factor = match original {
            Some(original) => context_len as f64 / original as f64,
            None => self
                .number("factor")?
                .ok_or_else(|| missing("original_max_position_embeddings"))?,
        };
        let original = original.unwrap_or(context_len) as f64;
        Ok(if factor <= 1.0 {
            1.0
        } else {
            (1.0 + factor.ln() / original.ln()).sqrt()
        })
    }

    fn factors(&self, key: &str) -> Result<Vec<f32>, SpecError> {
        let value = self.get(key).ok_or_else(|| missing(key))?;
        let list = value
            .as_array()
            .ok_or_else(|| invalid(key, value, "a list of numbers"))?;
        let factor = |value: &Value| value.as_f64().filter(|f| *f > 0.0).map(|f| f as f32);
        list.iter()
            .map(|value| factor(value).ok_or_else(|| invalid(key, value, "a positive number")))
            .collect()
    }

    // Typed access. A JSON null counts as absent everywhere.

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn family_flag(&self, flag: &Flag) -> Result<bool, SpecError> {
        match flag {
            Flag::Fixed(value) => Ok(*value),
            Flag::Key(key) => Ok(self.flag(key)?.unwrap_or(false)),
        }
    }

    fn needed(&self, key: &str) -> Result<usize, SpecError> {
        self.size(key)?.ok_or_else(|| missing(key))
    }

    /// A size: at least 1.
    fn size(&self, key: &str) -> Result<Option<usize>, SpecError> {
        match self.count(key)? {
            Some(0) => Err(invalid(key, &0.into(), "at least 1")),
            other => Ok(other),
        }
    }

    fn count(&self, key: &str) -> Result<Option<usize>, SpecError> {
        let read = |value: &Value| {
            value
                .as_u64()
                .filter(|&size| size <= MAX_SIZE)
                .map(|size| size as usize)
        };
        self.read(key, read, &format!("a whole number up to {MAX_SIZE}"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, SpecError> {
        self.read(
            key,
            |value| value.as_f64().filter(|number| number.is_finite()),
            "a number",
        )
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, SpecError> {
        self.read(key, Value::as_bool, "true or false")
    }

    fn string(&self, key: &str) -> Result<Option<&'a str>, SpecError> {
        self.read(key, Value::as_str, "a string")
    }

    fn read<T>(
        &self,
        key: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, SpecError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| invalid(key, value, expected))
    }

    fn list(&self, key: &str, value: &'a Value, len: usize) -> Result<&'a Vec<Value>, SpecError> {
        let list = value
            .as_array()
            .ok_or_else(|| invalid(key, value, "a list"))?;
        if list.len() == len {
            Ok(list)
        } else {
            Err(invalid(
                key,
                &list.len().into(),
                &format!("{len} entries, one per layer"),
            ))
        }
    }
}

fn missing(key: &str) -> SpecError {
    SpecError::Missing {
        place: PLACE,
        key: key.into(),
    }
}

fn invalid(key: &str, found: &Value, expected: &str) -> SpecError {
    let found: String = found.to_string().chars().take(80).collect();
    SpecError::Invalid {
        place: PLACE,
        key: key.into(),
        found,
        expected: expected.into(),
    }
}

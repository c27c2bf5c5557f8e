//! What a configuration says, as GGUF metadata: the inverse of `spec::gguf_metadata`.

use super::tensors::Output;
use crate::spec::{
    ArchSpec, Family, Hyper, HyperRope, RopeScaling, RopeSpec, RopeTable, yarn_mscale,
};
use crate::weights::gguf::Value;

/// Keys with values, and the small tables that GGUF keeps among the tensors.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) keys: Vec<(String, Value)>,
    pub(super) tables: Vec<Output>,
}

/// Describes an architecture under the name `arch`, as files of the family `target` do.
pub(super) fn describe(hyper: &Hyper, spec: &ArchSpec, target: &Family, arch: &str) -> Described {
    let mut writer = Writer {
        arch,
        target,
        out: Described::default(),
    };
    writer.sizes(hyper, spec);
    writer.attention(hyper, spec);
    writer.ropes(hyper, spec);
    writer.out
}

struct Writer<'a> {
    arch: &'a str,
    target: &'a Family,
    out: Described,
}

impl Writer<'_> {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        let key = format!("{}.{key}", self.arch);
        self.out.keys.push((key, value.into()));
    }

    fn size(&mut self, key: &str, size: usize) {
        // Sizes were checked to stay below 2^28 when they were read.
        self.put(key, u32::try_from(size).unwrap_or(u32::MAX));
    }

    fn sizes(&mut self, hyper: &Hyper, spec: &ArchSpec) {
        self.size("block_count", hyper.n_layers);
        self.size("context_length", hyper.context_len);
        self.size("embedding_length", hyper.hidden_size);
        self.size("vocab_size", spec.vocab_size);
        if let Some(width) = hyper.ffn_size {
            self.size("feed_forward_length", width);
        }
        if let Some(experts) = &hyper.experts {
            self.size("expert_count", experts.n_experts);
            self.size("expert_used_count", experts.top_k);
            self.size("expert_feed_forward_length", experts.width);
            self.put("expert_weights_norm", experts.normalize);
        }
        if let Some(conv) = &hyper.short_conv {
            self.size("shortconv.l_cache", conv.kernel);
        }
        if let Some(cap) = spec.logit_softcap {
            self.put("final_logit_softcapping", cap);
        }
    }

    fn attention(&mut self, hyper: &Hyper, spec: &ArchSpec) {
        self.size("attention.head_count", hyper.n_heads);
        let n_kv_heads = hyper.n_kv_heads.unwrap_or(hyper.n_heads);
        match &hyper.short_conv {
            None => self.size("attention.head_count_kv", n_kv_heads),
            // Layers without attention show by having no heads.
            Some(conv) => {
                let heads = |is_conv: &bool| if *is_conv { 0 } else { n_kv_heads as i32 };
                let heads: Vec<i32> = conv.layers.iter().map(heads).collect();
                self.put("attention.head_count_kv", heads.as_slice());
            }
        }
        let head_dim = self.head_dim(hyper);
        self.size("attention.key_length", head_dim);
        self.size("attention.value_length", head_dim);
        self.put("attention.layer_norm_rms_epsilon", spec.norm.eps);
        if let Some(scalar) = hyper.query_scalar.filter(|s| *s != head_dim as f32) {
            self.put("attention.scale", scalar.sqrt().recip());
        }
        // Readers know of no window in a family that has none; what is lost shows when the
        // metadata are read back.
        let window = hyper.window.filter(|_| self.target.window.is_some());
        if let Some(window) = window {
            self.size("attention.sliding_window", window);
            if let Some(layers) = &hyper.windowed {
                self.put("attention.sliding_window_pattern", layers.as_slice());
            }
        }
    }

    fn head_dim(&self, hyper: &Hyper) -> usize {
        let stated = hyper.head_dim.or(self.target.head_dim);
        stated.unwrap_or(hyper.hidden_size / hyper.n_heads.max(1))
    }

    fn ropes(&mut self, hyper: &Hyper, spec: &ArchSpec) {
        let theta = |rope: &HyperRope| rope.theta.unwrap_or(self.target.rope.theta) as f32;
        let (full, sliding) = (theta(&hyper.rope), hyper.sliding_rope.as_ref().map(theta));
        self.put("rope.freq_base", full);
        if let Some(sliding) = sliding.filter(|_| self.target.rope.sliding_theta.is_some()) {
            self.put("rope.freq_base_swa", sliding);
        }
        if let Some((beta, period)) = hyper.rope.query_growth {
            self.put("attention.temperature_scale", beta);
            self.original_context(period);
        }
        // All encodings of a model turn the same part of a head.
        if let Some(rope) = spec.ropes.first() {
            self.size("rope.dimension_count", rope.dims);
        }
        let scaled = |rope: &&RopeSpec| rope.scaling == hyper.rope.scaling;
        if let Some(rope) = spec.ropes.iter().find(scaled) {
            self.scaling(rope);
        }
    }

    fn scaling(&mut self, rope: &RopeSpec) {
        match &rope.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => {
                self.put("rope.scaling.type", "linear");
                self.put("rope.scaling.factor", *factor as f32);
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                original_context,
                attention_factor,
                ..
            } => {
                self.put("rope.scaling.type", "yarn");
                self.put("rope.scaling.factor", *factor as f32);
                self.put("rope.scaling.yarn_beta_fast", *beta_fast as f32);
                self.put("rope.scaling.yarn_beta_slow", *beta_slow as f32);
                self.original_context(*original_context);
                if let Some(weight) = attention_factor.and_then(|f| all_dims(*factor, f)) {
                    self.put("rope.scaling.yarn_log_multiplier", weight as f32);
                }
            }
            RopeScaling::LongRope {
                short,
                long,
                original_context,
                attention_factor,
            } => {
                self.original_context(*original_context);
                self.put("rope.scaling.attn_factor", *attention_factor as f32);
                self.table("rope_factors_long.weight", long.clone());
                self.table("rope_factors_short.weight", short.clone());
            }
            RopeScaling::Llama3 { .. } | RopeScaling::Divisors(_) => {
                self.table("rope_freqs.weight", divisors(rope));
            }
        }
    }

    /// Two facts are read from this key; a model that has both has the same value for them, which
    /// reading the metadata back makes sure of.
    fn original_context(&mut self, len: usize) {
        let key = "rope.scaling.original_context_length";
        let full = format!("{}.{key}", self.arch);
        if self.out.keys.iter().all(|(known, _)| *known != full) {
            self.size(key, len);
        }
    }

    fn table(&mut self, name: &str, values: Vec<f32>) {
        self.out.tables.push(Output::table(name, values));
    }
}

/// The weight in YaRN's factor `mscale(1) / mscale(weight)`; `None` where it is the usual one.
fn all_dims(factor: f64, attention_factor: f64) -> Option<f64> {
    let usual = yarn_mscale(factor, 1.0);
    let weight = (usual / attention_factor - 1.0) / (0.1 * factor.ln());
    (weight.is_finite() && weight.abs() > 1e-6).then_some(weight)
}

/// What each frequency is divided by.
fn divisors(rope: &RopeSpec) -> Vec<f32> {
    let plain = RopeSpec {
        scaling: RopeScaling::None,
        ..rope.clone()
    };
    let (plain, scaled) = (RopeTable::new(&plain), RopeTable::new(rope));
    let both = plain.inv_freq.iter().zip(&scaled.inv_freq);
    both.map(|(plain, scaled)| plain / scaled).collect()
}

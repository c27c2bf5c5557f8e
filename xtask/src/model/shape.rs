//! Shapes of real models, all of one family: what is measured is their size.

use serde_json::{Value, json};

/// The shape of a model.
pub(super) struct Shape {
    layers: usize,
    hidden: usize,
    ffn: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab: usize,
    /// Whether the head is the embedding.
    tied: bool,
}

/// A tensor of a model.
pub(super) struct Tensor {
    pub(super) name: String,
    /// Rows, and numbers in each; a vector has one row.
    pub(super) shape: Vec<usize>,
}

/// What [`find`] knows.
pub(super) const NAMES: [&str; 5] = ["tiny", "qwen3-0.6b", "qwen3-1.7b", "qwen3-4b", "qwen3-8b"];

/// The shape of this name. The last of [`NAMES`] that have one are of the Qwen3 models that they are
/// called after (their `config.json`); the first is for tests.
pub(super) fn find(name: &str) -> Option<Shape> {
    let shape = |layers, hidden, ffn, heads| Shape {
        layers,
        hidden,
        ffn,
        heads,
        kv_heads: 8,
        head_dim: 128,
        vocab: 151_936,
        tied: true,
    };
    Some(match name {
        "tiny" => Shape {
            kv_heads: 2,
            head_dim: 64,
            vocab: 2048,
            ..shape(2, 256, 768, 4)
        },
        "qwen3-0.6b" => shape(28, 1024, 3072, 16),
        "qwen3-1.7b" => shape(28, 2048, 6144, 16),
        "qwen3-4b" => shape(36, 2560, 9728, 32),
        "qwen3-8b" => Shape {
            tied: false,
            ..shape(36, 4096, 12_288, 32)
        },
        _ => return None,
    })
}

impl Shape {
    pub(super) fn config(&self) -> Value {
        json!({
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "torch_dtype": "bfloat16",
            "hidden_size": self.hidden,
            "intermediate_size": self.ffn,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab,
            "max_position_embeddings": 40_960,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1_000_000,
            "hidden_act": "silu",
            "attention_bias": false,
            "tie_word_embeddings": self.tied,
            "bos_token_id": 151_643,
            "eos_token_id": 151_645,
        })
    }

    /// All tensors, in the order of the file.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let mut tensors = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            tensors.push(Tensor {
                name: format!("{name}.weight"),
                shape: shape.to_vec(),
            });
        };
        let (hidden, head) = (self.hidden, self.head_dim);
        let (wide, narrow) = (self.heads * head, self.kv_heads * head);
        add("model.embed_tokens".to_owned(), &[self.vocab, hidden]);
        for layer in 0..self.layers {
            for (part, shape) in [
                ("input_layernorm", &[hidden][..]),
                ("self_attn.q_proj", &[wide, hidden]),
                ("self_attn.k_proj", &[narrow, hidden]),
                ("self_attn.v_proj", &[narrow, hidden]),
                ("self_attn.q_norm", &[head]),
                ("self_attn.k_norm", &[head]),
                ("self_attn.o_proj", &[hidden, wide]),
                ("post_attention_layernorm", &[hidden]),
                ("mlp.gate_proj", &[self.ffn, hidden]),
                ("mlp.up_proj", &[self.ffn, hidden]),
                ("mlp.down_proj", &[hidden, self.ffn]),
            ] {
                add(format!("model.layers.{layer}.{part}"), shape);
            }
        }
        if !self.tied {
            add("lm_head".to_owned(), &[self.vocab, hidden]);
        }
        add("model.norm".to_owned(), &[hidden]);
        tensors
    }
}

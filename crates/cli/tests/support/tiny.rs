//! A model of a few thousand random weights in Hugging Face layout.
//!
//! Every byte is a token and its own id, so that `--logit-bias 65=100` makes the model
//! write the letter A until its tokens are used up.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tempfile::TempDir;

const VOCAB: usize = 261;
const HIDDEN: usize = 32;
const FEED_FORWARD: usize = 64;
const KEY_VALUE: usize = 16;
const LAYERS: usize = 2;

/// What stands at the end of the rendered prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The answer begins at once.
    Plain,
    /// The template opens the reasoning.
    Thinking,
}

/// Writes the model into a folder of its own.
pub(crate) fn tiny_model(style: Style) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write_json(dir.path(), "config.json", &config());
    write_json(dir.path(), "tokenizer.json", &tokenizer());
    write_json(
        dir.path(),
        "tokenizer_config.json",
        &tokenizer_config(style),
    );
    fs::write(dir.path().join("model.safetensors"), weights()).expect("weights are written");
    dir
}

fn write_json(dir: &Path, name: &str, value: &Value) {
    fs::write(dir.join(name), value.to_string()).expect("a file is written");
}

fn config() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": true,
        "torch_dtype": "float32",
        "bos_token_id": null,
        "eos_token_id": 258,
    })
}

/// The printable character that stands for a byte in byte-level BPE (GPT-2's table).
fn byte_char(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let earlier = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(0x100 + earlier).expect("a character of Latin Extended-A")
}

fn tokenizer() -> Value {
    let vocab: Map<String, Value> = (0..=u8::MAX)
        .map(|byte| (byte_char(byte).to_string(), json!(byte)))
        .collect();
    let added = |id: usize, content: &str, special: bool| {
        json!({"id": id, "content": content, "special": special, "single_word": false,
               "lstrip": false, "rstrip": false, "normalized": false})
    };
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false,
                            "trim_offsets": false, "use_regex": true});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "normalizer": null,
        "post_processor": null,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "added_tokens": [
            added(256, "<|endoftext|>", true),
            added(257, "<|im_start|>", true),
            added(258, "<|im_end|>", true),
            added(259, "<think>", false),
            added(260, "</think>", false),
        ],
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "byte_fallback": false,
                  "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "vocab": vocab, "merges": []},
    })
}

fn tokenizer_config(style: Style) -> Value {
    let open = match style {
        Style::Plain => "",
        Style::Thinking => "<think>\n",
    };
    let template = format!(
        "{{% for message in messages %}}<|im_start|>{{{{ message.role }}}}\n\
         {{{{ message.content.split('</think>')[-1] }}}}<|im_end|>\n{{% endfor %}}\
         {{% if add_generation_prompt %}}<|im_start|>assistant\n{open}{{% endif %}}"
    );
    json!({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
           "chat_template": template})
}

/// A safetensors file: eight bytes of length, the JSON header, the data.
fn weights() -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (name, shape) in tensors() {
        let begin = data.len();
        for _ in 0..shape.iter().product() {
            data.extend_from_slice(&random.next().to_le_bytes());
        }
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]});
        header.insert(name, entry);
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(&data);
    file
}

fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for layer in 0..LAYERS {
        let parts: [(&str, Vec<usize>); 9] = [
            ("input_layernorm", vec![HIDDEN]),
            ("post_attention_layernorm", vec![HIDDEN]),
            ("self_attn.q_proj", vec![HIDDEN, HIDDEN]),
            ("self_attn.k_proj", vec![KEY_VALUE, HIDDEN]),
            ("self_attn.v_proj", vec![KEY_VALUE, HIDDEN]),
            ("self_attn.o_proj", vec![HIDDEN, HIDDEN]),
            ("mlp.gate_proj", vec![FEED_FORWARD, HIDDEN]),
            ("mlp.up_proj", vec![FEED_FORWARD, HIDDEN]),
            ("mlp.down_proj", vec![HIDDEN, FEED_FORWARD]),
        ];
        for (part, shape) in parts {
            tensors.push((format!("model.layers.{layer}.{part}.weight"), shape));
        }
    }
    tensors
}

/// xorshift: the same weights everywhere, without another dependency.
struct Random(u64);

impl Random {
    /// A number between -0.5 and 0.5.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    }
}

//! A second opinion: the models of candle-transformers on the same golden folders.
//!
//! What candle computes in another way is switched off on both sides first. Left out, because candle
//! has no such model: olmo3 (its olmo2 knows neither windows nor YaRN), seed_oss, ministral3.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{
    gemma3, lfm2, llama, mistral, phi3, qwen2, qwen3, qwen3_moe, smol::smollm3,
};
use ponder_runtime::{spec::ArchSpec, weights::Checkpoint};
use ponder_tests::{
    goldens::{Draft, folder},
    oracle::{TOLERANCE, cases, load, logits_in_chunks, worst_relative_error},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Compares the logits of the last position of every prompt of a family's golden model.
///
/// `change` makes the model one that both sides have; `opinion` runs candle's on token ids
/// `[1, length]`, with the configuration under the keys that candle reads.
fn compare(
    family: &str,
    change: impl Fn(&mut Draft),
    opinion: impl Fn(&Value, VarBuilder<'_>, &Tensor) -> Result<Tensor>,
) {
    let mut draft = Draft::of(family);
    change(&mut draft);
    let written = draft.write();
    let checkpoint = Checkpoint::open(written.path()).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    let mut model = load(&checkpoint, spec);

    let bytes = std::fs::read(written.path().join("model.safetensors")).expect("the weights");
    let weights = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
        .expect("the weights");
    let config = older_config(&draft.config);
    let mut worst = 0f64;
    for case in cases(&folder(family).join("golden.safetensors")) {
        let n = case.prompt.len();
        let logits = logits_in_chunks(&mut model, &case.prompt, n, n);
        let width = logits.len() / n;
        let ids = Tensor::new(case.prompt, &Device::Cpu)
            .and_then(|ids| ids.unsqueeze(0))
            .expect("token ids");
        let theirs = opinion(&config, weights.clone(), &ids)
            .and_then(|logits| logits.flatten_all()?.to_vec1::<f32>())
            .unwrap_or_else(|error| panic!("{family}: {error}"));
        let ours = &logits[(n - 1) * width..];
        worst = worst.max(worst_relative_error(ours, &theirs, width));
    }
    println!("{family}: {worst:.1e} from candle");
    assert!(worst <= TOLERANCE, "{family}: {worst:.2e} from candle");
}

/// The configuration with the position encoding under the keys of transformers 4.
fn older_config(config: &Value) -> Value {
    let mut config = config.clone();
    let rope = config["rope_parameters"].take();
    config["rope_theta"] = rope["rope_theta"].clone();
    for key in ["partial_rotary_factor", "rope_type"] {
        if !rope[key].is_null() {
            config[key] = rope[key].clone();
        }
    }
    if rope["rope_type"] == "llama3" {
        config["rope_scaling"] = rope;
    }
    config
}

fn parse<T: DeserializeOwned>(config: &Value) -> T {
    serde_json::from_value(config.clone()).unwrap_or_else(|error| panic!("{error}: {config}"))
}

fn unchanged(_: &mut Draft) {}

/// In candle's masks a window of W is W keys and the token itself.
fn candle_window(config: &Value) -> Value {
    json!(config["sliding_window"].as_u64().expect("a window") - 1)
}

#[test]
fn llama() {
    compare("llama", unchanged, |config, weights, ids| {
        let config = parse::<llama::LlamaConfig>(config).into_config(false);
        let mut cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu)?;
        llama::Llama::load(weights, &config)?.forward(ids, 0, &mut cache)
    });
}

#[test]
fn mistral() {
    compare("mistral", unchanged, |config, weights, ids| {
        let mut config = config.clone();
        config["sliding_window"] = candle_window(&config);
        config["use_flash_attn"] = json!(false);
        mistral::Model::new(&parse(&config), weights)?.forward(ids, 0)
    });
}

/// candle has one mask for all layers, where the model has windows in some.
#[test]
fn qwen2() {
    let without_window = |draft: &mut Draft| {
        let config = &mut draft.config;
        config["use_sliding_window"] = json!(false);
        config["layer_types"] = Value::Null;
    };
    compare("qwen2", without_window, |config, weights, ids| {
        let mut config = config.clone();
        config["sliding_window"] = config["max_position_embeddings"].clone();
        qwen2::ModelForCausalLM::new(&parse(&config), weights)?.forward(ids, 0)
    });
}

#[test]
fn qwen3() {
    compare("qwen3", unchanged, |config, weights, ids| {
        qwen3::ModelForCausalLM::new(&parse(config), weights)?.forward(ids, 0)
    });
}

#[test]
fn qwen3_moe() {
    compare("qwen3_moe", unchanged, |config, weights, ids| {
        let mut config = config.clone();
        // transformers 5 writes one key under another name and leaves out the other.
        config["num_experts"] = config["num_local_experts"].clone();
        config["max_window_layers"] = config["num_hidden_layers"].clone();
        qwen3_moe::ModelForCausalLM::new(&parse(&config), weights)?.forward(ids, 0)
    });
}

/// candle has no window here, and it multiplies frequencies by LongRoPE's factors instead of dividing.
#[test]
fn phi3() {
    let plain = |draft: &mut Draft| {
        let config = &mut draft.config;
        config["sliding_window"] = Value::Null;
        config["rope_parameters"] =
            json!({"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75});
    };
    compare("phi3", plain, |config, weights, ids| {
        phi3::Model::new(&parse(config), weights)?.forward(ids, 0)
    });
}

/// candle scales scores by the width of a head only, and stretches no positions.
#[test]
fn gemma3() {
    let plain = |draft: &mut Draft| {
        let config = &mut draft.config;
        config["query_pre_attn_scalar"] = config["head_dim"].clone();
        config["rope_parameters"]["full_attention"] =
            json!({"rope_type": "default", "rope_theta": 1e6});
    };
    compare("gemma3_text", plain, |config, weights, ids| {
        let mut config = config.clone();
        config["sliding_window"] = candle_window(&config);
        config["sliding_window_pattern"] = json!(6);
        config["rope_theta"] = json!(1e6);
        config["rope_local_base_freq"] = json!(1e4);
        gemma3::Model::new(false, &parse(&config), weights)?.forward(ids, 0)
    });
}

#[test]
fn smollm3() {
    compare("smollm3", unchanged, |config, weights, ids| {
        smollm3::ModelForCausalLM::new(&parse(config), weights)?.forward(ids, 0)
    });
}

/// candle reads no bias of the convolutions, and computes the inner width in its own way.
#[test]
fn lfm2() {
    let without_bias = |draft: &mut Draft| {
        draft.config["conv_bias"] = json!(false);
        draft
            .tensors
            .retain(|name, _| !(name.contains(".conv.") && name.ends_with(".bias")));
    };
    compare("lfm2", without_bias, |config, weights, ids| {
        let mut config = config.clone();
        config["tie_embedding"] = config["tie_word_embeddings"].clone();
        let mut config = parse::<lfm2::Lfm2Config>(&config).into_config(false);
        config.intermediate_size = weights
            .get_unchecked("model.layers.0.feed_forward.w1.weight")?
            .dim(0)?;
        let mut cache = lfm2::Cache::new(true, DType::F32, &config, &Device::Cpu)?;
        lfm2::Model::new(&config, weights)?.forward(ids, 0, &mut cache)
    });
}

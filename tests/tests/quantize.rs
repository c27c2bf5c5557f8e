//! Quantized files against the models that they were made from.

use std::path::{Path, PathBuf};

use ponder_engine::quantize::{QuantizeOptions, QuantizeSummary, TargetType, quantize};
use ponder_runtime::quantize::Plan;
use ponder_runtime::{spec::ArchSpec, weights::Checkpoint};
use ponder_tests::goldens::{Draft, folder};
use ponder_tests::oracle::{
    Case, TOLERANCE, cases, check_cases, load, logits_in_chunks, shared, worst_relative_error,
};
use ponder_tokenizer::Tokenizer;
use serde_json::Value;

/// Families whose golden models have nothing that GGUF cannot say.
const GOLDEN: &[&str] = &[
    "gemma3_text",
    "llama",
    "ministral3",
    "olmo3",
    "phi3",
    "qwen2",
    "qwen3",
    "seed_oss",
];

/// Oracle models that GGUF can express.
const ORACLE: &[&str] = &[
    "gemma3",
    "gemma3_text",
    "lfm2",
    "llama",
    "ministral3",
    "mistral3",
    "olmo3",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "seed_oss",
    "smollm3",
];

/// Quantizes without a tokenizer, which golden models lack.
fn quantized(folder: &Path, target: TargetType) -> Result<(tempfile::TempDir, Checkpoint), String> {
    let source = Checkpoint::open(folder).expect("a checkpoint");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("model.gguf");
    let plan = Plan::new(&source, target, "golden", Vec::new()).map_err(|e| e.to_string())?;
    let (mut last, mut calls) = (0, 0);
    let mut progress = |done: u64, total: u64| {
        assert!(
            done > last && done <= total,
            "{done} of {total} after {last}"
        );
        (last, calls) = (done, calls + 1);
    };
    let written = plan
        .write(&path, false, None, &mut progress)
        .map_err(|e| e.to_string())?;
    assert_eq!(last, written.tensor_bytes);
    let size = std::fs::metadata(&path).expect("a file").len();
    assert_eq!(size, written.file_bytes);
    Ok((dir, Checkpoint::open(&path).expect("a checkpoint")))
}

/// The distance of all logits to the expected ones, as a share of these: `‖a − b‖ / ‖b‖`.
fn error(checkpoint: &Checkpoint, cases: &[Case]) -> f64 {
    let spec = ArchSpec::of(checkpoint).expect("a supported architecture");
    let mut model = load(checkpoint, spec);
    let (mut got, mut expected) = (Vec::new(), Vec::new());
    for case in cases {
        let planned = case.prompt.len() + case.greedy.len();
        got.extend(logits_in_chunks(
            &mut model,
            &case.prompt,
            case.prompt.len(),
            planned,
        ));
        expected.extend_from_slice(&case.logits);
    }
    worst_relative_error(&got, &expected, expected.len())
}

/// With the source's own precision nothing is lost: names, metadata, permuted rows, stacked
/// experts and folded offsets are right for every family, or logits would differ.
#[test]
fn every_family_is_the_same_model_as_gguf() {
    for family in GOLDEN {
        let folder = folder(family);
        let (_dir, file) = quantized(&folder, TargetType::BF16).expect("a file");
        let spec = ArchSpec::of(&file).expect("a supported architecture");
        let cases = cases(&folder.join("golden.safetensors"));
        check_cases(&mut load(&file, spec), &cases, family, TOLERANCE);
    }
}

/// Eight bits are near, four are farther off. The bounds are those of models with random weights,
/// which answer a small change of weights with a tenfold change of logits.
#[test]
fn quantized_models_stay_near() {
    for family in GOLDEN {
        let folder = folder(family);
        let cases = cases(&folder.join("golden.safetensors"));
        for (target, bound) in [
            (TargetType::F16, 0.002),
            (TargetType::Q8_0, 0.1),
            (TargetType::Q4KM, 0.45),
            (TargetType::MXFP4, 0.7),
        ] {
            let (_dir, file) = quantized(&folder, target).expect("a file");
            let error = error(&file, &cases);
            println!("{family} {target}: {error:.4}");
            assert!(error <= bound, "{family} {target}: {error:.4}");
        }
    }
}

/// A GGUF file is taken apart and put together: same metadata, same tensors.
#[test]
fn gguf_files_are_requantized() {
    let (dir, bf16) = quantized(&folder("llama"), TargetType::BF16).expect("a file");
    let path = dir.path().join("model.gguf");
    let (_again, same) = quantized(&path, TargetType::BF16).expect("a file");
    for (a, b) in bf16.tensors().zip(same.tensors()) {
        assert_eq!((a.name(), a.ty(), a.shape()), (b.name(), b.ty(), b.shape()));
        assert_eq!(a.bytes(), b.bytes(), "{}", a.name());
    }
    let keys = |file: &Checkpoint| -> Vec<String> {
        let keys = file.gguf().expect("metadata").iter();
        keys.map(|(key, value)| format!("{key} {value:?}"))
            .collect()
    };
    assert_eq!(keys(&bf16), keys(&same));
    let (_direct_dir, direct) = quantized(&folder("llama"), TargetType::Q4_0).expect("a file");
    let (_twice_dir, twice) = quantized(&path, TargetType::Q4_0).expect("a file");
    for (a, b) in direct.tensors().zip(twice.tensors()) {
        assert_eq!(a.bytes(), b.bytes(), "{}", a.name());
    }
}

/// Golden models with something that GGUF cannot say, without that: the file gives the logits of
/// the folder that it was made from.
#[test]
fn the_rest_of_the_families_is_the_same_model_too() {
    for draft in [mistral(), lfm2(), qwen3_moe(), smollm3()] {
        let folder = draft.write();
        let source = Checkpoint::open(folder.path()).expect("a checkpoint");
        let (_dir, file) = quantized(folder.path(), TargetType::BF16).expect("a file");
        let spec = ArchSpec::of(&source).expect("a supported architecture");
        let prompt: Vec<u32> = (1..40).collect();
        let logits = |checkpoint: &Checkpoint| {
            let spec = ArchSpec::of(checkpoint).expect("a supported architecture");
            logits_in_chunks(&mut load(checkpoint, spec), &prompt, 39, 39)
        };
        let (expected, got) = (logits(&source), logits(&file));
        let error = worst_relative_error(&got, &expected, spec.vocab_size);
        assert!(error <= TOLERANCE, "{}: {error}", spec.family);
    }
}

fn mistral() -> Draft {
    let mut draft = Draft::of("mistral");
    draft.config["sliding_window"] = Value::Null;
    draft
}

fn lfm2() -> Draft {
    let mut draft = Draft::of("lfm2");
    draft.config["conv_bias"] = false.into();
    let is_bias = |name: &str| name.contains(".conv.") && name.ends_with(".bias");
    draft.tensors.retain(|name, _| !is_bias(name));
    draft
}

/// Every layer gets the experts of layer 1.
fn qwen3_moe() -> Draft {
    let mut draft = Draft::of("qwen3_moe");
    draft.config["decoder_sparse_step"] = 1.into();
    let n_layers = draft.config["num_hidden_layers"]
        .as_u64()
        .expect("a number");
    let (mlp, mut all): (Vec<_>, Vec<_>) = draft
        .tensors
        .into_iter()
        .partition(|(name, _)| name.contains(".mlp."));
    for (name, tensor) in mlp.iter().filter(|(name, _)| name.contains("layers.1.")) {
        let copies = (0..n_layers).map(|layer_idx| {
            let name = name.replace("layers.1.", &format!("layers.{layer_idx}."));
            (name, tensor.clone())
        });
        all.extend(copies);
    }
    draft.tensors = all.into_iter().collect();
    draft
}

fn smollm3() -> Draft {
    let mut draft = Draft::of("smollm3");
    draft.config["no_rope_layers"] = Value::Null;
    draft.config["no_rope_layer_interval"] = 4.into();
    draft
}

#[test]
fn what_gguf_cannot_say_is_refused() {
    let mut gelu = Draft::of("qwen3");
    gelu.config["hidden_act"] = "gelu".into();
    for (draft, part) in [
        (Draft::of("mistral"), "window of layer 0"),
        (Draft::of("lfm2"), "mixer of layer 0"),
        (Draft::of("qwen3_moe"), "feed-forward of layer 0"),
        (Draft::of("smollm3"), "position encoding of layer 1"),
        (gelu, "feed-forward of layer 0"),
    ] {
        let error = quantized(draft.write().path(), TargetType::Q8_0).expect_err("refused");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn broken_models_are_refused_by_name() {
    let mut draft = Draft::of("llama");
    draft.tensors.remove("model.layers.1.mlp.up_proj.weight");
    let error = quantized(draft.write().path(), TargetType::Q8_0).expect_err("refused");
    assert!(
        error.contains("model.layers.1.mlp.up_proj.weight is missing"),
        "{error}"
    );

    let mut draft = Draft::of("llama");
    let stray = draft.tensors["model.norm.weight"].clone();
    draft
        .tensors
        .insert("model.layers.1.wings.weight".into(), stray);
    let error = quantized(draft.write().path(), TargetType::Q8_0).expect_err("refused");
    assert!(
        error.contains("model.layers.1.wings.weight belongs to no part"),
        "{error}"
    );

    // 0x7f80 is infinity as bfloat16, 0x7fc0 is not a number, 0x7f00 is 1.7e38.
    for (high, low, target, part) in [
        (0x7f, 0x80, TargetType::Q4_0, "row 5 holds inf"),
        (0x7f, 0xc0, TargetType::MXFP4, "row 5 holds NaN"),
        (0x7f, 0x00, TargetType::Q8_0, "more than Q8_0 can"),
        (0x7f, 0x00, TargetType::F16, "more than F16 can"),
    ] {
        let mut draft = Draft::of("llama");
        let name = "model.layers.2.mlp.up_proj.weight";
        let (_, shape, bytes) = draft.tensors.get_mut(name).expect("a tensor");
        let at = (5 * shape[1] + 7) * 2;
        bytes[at..at + 2].copy_from_slice(&[low, high]);
        let folder = draft.write();
        let error = quantized(folder.path(), target).expect_err("refused");
        assert!(
            error.contains("blk.2.ffn_up.weight") && error.contains(part),
            "{error}"
        );
        assert!(error.contains("; hint: "), "{error}");
    }
}

/// A real file of llama.cpp's `llama-quantize`: the same mixture chooses the same types, fallbacks
/// included (rows of 640 are no multiple of 256).
#[test]
fn mixtures_are_those_of_llama_cpp() {
    let folder = std::env::var_os("PONDER_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/assets"),
        PathBuf::from,
    );
    let path = folder.join("gemma-3-270m-q4_k_m.gguf");
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return;
    }
    let file = Checkpoint::open(&path).expect("a checkpoint");
    let plan = Plan::new(&file, TargetType::Q4KM, "", Vec::new()).expect("a plan");
    for (theirs, ours) in file.tensors().zip(plan.tensors()) {
        assert_eq!((theirs.name(), theirs.ty()), (ours.name.as_str(), ours.ty));
    }
}

fn with_engine(source: &Path, out: &Path, target: TargetType) -> QuantizeSummary {
    let source = source.display().to_string();
    quantize(
        &source,
        out,
        target,
        &QuantizeOptions::default(),
        &mut |_| {},
    )
    .unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// Folders with tokenizers: the file has logits and token ids of transformers.
#[test]
fn oracle_folders_become_whole_files() {
    let Some(root) = shared("oracle/golden") else {
        return;
    };
    for family in ORACLE {
        let source = root.join(format!("{family}-dev"));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let out = dir.path().join("model.gguf");
        with_engine(&source, &out, TargetType::BF16);
        let file = Checkpoint::open(&out).expect("a checkpoint");
        let spec = ArchSpec::of(&file).expect("a supported architecture");
        let cases = cases(&source.join("golden.safetensors"));
        check_cases(&mut load(&file, spec), &cases, family, TOLERANCE);
        check_tokenizer(&file, &source);
        // A router near a tie sends tokens to other experts.
        let slack = if *family == "qwen3_moe" { 3.0 } else { 1.0 };
        let bounds = [(TargetType::Q8_0, 0.1), (TargetType::Q4KM, 0.5)];
        for (target, bound) in bounds {
            let out = dir.path().join(format!("{target}.gguf"));
            let summary = with_engine(&source, &out, target);
            let error = error(&Checkpoint::open(&out).expect("a checkpoint"), &cases);
            let bits = summary.bits_per_weight;
            println!("{family} {target}: {error:.4} at {bits:.2} bits per weight");
            assert!(error <= slack * bound, "{family} {target}: {error:.4}");
        }
    }
}

fn check_tokenizer(file: &Checkpoint, source: &Path) {
    let vocab = ponder_engine::gguf_vocab(file.gguf().expect("metadata")).expect("a vocabulary");
    let tokenizer = Tokenizer::from_gguf(vocab).expect("a tokenizer");
    let text = std::fs::read_to_string(source.join("tokenizer_golden.json")).expect("a file");
    let golden: Value = serde_json::from_str(&text).expect("JSON");
    let cases = golden["tokenizer"].as_array().expect("a list");
    assert!(!cases.is_empty());
    let ids = |value: &Value| -> Vec<u32> {
        serde_json::from_value(value.clone()).expect("a list of ids")
    };
    for case in cases {
        let text = case["text"].as_str().expect("a text");
        let with_special = tokenizer.encode(text, true).expect("ids");
        assert_eq!(
            with_special,
            ids(&case["ids"]),
            "{}: {text:?}",
            source.display()
        );
        let plain = tokenizer.encode(text, false).expect("ids");
        assert_eq!(plain, ids(&case["ids_without_special"]), "{text:?}");
        assert_eq!(
            tokenizer.decode(&plain, false),
            case["decoded"].as_str().expect("a text")
        );
    }
    let original = Tokenizer::from_folder(source).expect("a tokenizer");
    assert_eq!(tokenizer.chat_template(), original.chat_template());
    assert_eq!(tokenizer.stop_tokens(), original.stop_tokens());
    assert_eq!(
        (tokenizer.bos(), tokenizer.eos()),
        (original.bos(), original.eos())
    );
}

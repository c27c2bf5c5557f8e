//! The CPU backend against golden logits and against the reference, on every instruction set that
//! this machine has.

use std::path::Path;

use ponder_models::FAMILIES;
use ponder_runtime::{
    backend::{
        KvFormat,
        cpu::{Cpu, CpuOptions, Isa, Precision},
    },
    decoder::{Decoder, LogitsFor, Model, Step},
    spec::ArchSpec,
    weights::Checkpoint,
};
use ponder_tests::{
    batching::{texts, worst_difference},
    goldens::folder,
    oracle::{cases, check_cases, load_on, logits_in_chunks, shared},
};
use serde_json::Value;

/// Relative error of logits with exact activations.
const EXACT: f64 = 1e-4;
/// How much larger the effect of rounded activations may be than that of rounding them alone in
/// an otherwise exact model.
const ROUNDING: f64 = 1.2;

fn model(path: &Path, options: CpuOptions) -> Decoder<Cpu> {
    let checkpoint = Checkpoint::open(path).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    load_on(Cpu::new(&options).expect("threads"), &checkpoint, spec)
}

fn options(isa: Isa, precision: Precision) -> CpuOptions {
    CpuOptions {
        threads: Some(2),
        isa,
        precision,
        kv_format: KvFormat::F32,
    }
}

#[test]
fn every_family_matches_its_golden_model() {
    for isa in Isa::available() {
        for (family, _) in FAMILIES {
            let folder = folder(family);
            let mut model = model(&folder, options(isa, Precision::Exact));
            let cases = cases(&folder.join("golden.safetensors"));
            let name = format!("{family} on {}", isa.name());
            check_cases(&mut model, &cases, &name, EXACT);
        }
    }
}

/// GGUF files of the oracle, with what it says of each.
fn gguf_files() -> Vec<(std::path::PathBuf, Value)> {
    let Some(root) = shared("oracle/golden/gguf-dev") else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(root.join("golden.json")).expect("golden.json");
    let facts: Value = serde_json::from_str(&text).expect("JSON");
    let files = facts["files"].as_array().expect("a list of files");
    let file = |facts: &Value| {
        let name = facts["file"].as_str().expect("a name");
        (root.join(name), facts.clone())
    };
    // The oracle's list may be longer than what lies in the folder.
    let files = files.iter().map(file).filter(|(path, _)| path.exists());
    files.collect()
}

#[test]
fn every_tensor_type_matches_with_exact_activations() {
    for (path, _) in gguf_files() {
        let cases = cases(&path.with_extension("golden.safetensors"));
        for isa in Isa::available() {
            let mut model = model(&path, options(isa, Precision::Exact));
            let name = format!("{} on {}", path.display(), isa.name());
            check_cases(&mut model, &cases, &name, EXACT);
        }
    }
}

#[test]
fn rounded_activations_cost_no_more_than_rounding_does() {
    for (path, facts) in gguf_files() {
        let limit = facts["int8_activation_rms"].as_f64().expect("a number");
        for isa in Isa::available() {
            let mut model = model(&path, options(isa, Precision::Int8));
            let (mut squares, mut n) = (0.0, 0);
            for case in cases(&path.with_extension("golden.safetensors")) {
                let len = case.prompt.len();
                let logits = logits_in_chunks(&mut model, &case.prompt, len, len);
                let pairs = logits.iter().zip(&case.logits);
                squares += pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
                n += logits.len();
            }
            let rms = (squares / n as f64).sqrt();
            println!(
                "{} on {}: rms {rms:.4}, limit {limit:.4}",
                path.display(),
                isa.name()
            );
            assert!(
                rms <= limit * ROUNDING,
                "{}: {rms} > {limit}",
                path.display()
            );
        }
    }
}

#[test]
fn all_ways_to_store_keys_and_values_agree() {
    for kv_format in KvFormat::ALL {
        let limit = match kv_format {
            KvFormat::F32 => EXACT,
            KvFormat::F16 => 2e-3,
            KvFormat::BF16 => 2e-2,
            KvFormat::Q8_0 => 3e-2,
            KvFormat::Q4_0 => 0.5,
            KvFormat::Fp8 => continue,
        };
        let options = CpuOptions {
            kv_format,
            ..options(Isa::best(), Precision::Exact)
        };
        let folder = folder("qwen3");
        let mut model = model(&folder, options);
        let width = model.spec().vocab_size;
        for case in cases(&folder.join("golden.safetensors")) {
            let logits = logits_in_chunks(&mut model, &case.prompt, 5, case.prompt.len());
            let error = ponder_tests::oracle::worst_relative_error(&logits, &case.logits, width);
            println!("{kv_format:?}: {error:.1e}");
            assert!(error <= limit, "{kv_format:?}: {error:.1e}");
        }
    }
}

#[test]
fn a_way_to_store_them_that_only_devices_have_is_refused() {
    let options = CpuOptions {
        kv_format: KvFormat::Fp8,
        ..CpuOptions::default()
    };
    let error = Cpu::new(&options).expect_err("no kernels").to_string();
    assert!(error.contains("fp8 there (hint: q8_0 is"), "{error}");
}

/// Sequences that run at the same time.
const AT_ONCE: usize = 64;

fn assert_batching_changes_nothing(path: &Path, precision: Precision, isa: Isa) {
    let checkpoint = Checkpoint::open(path).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    let texts = texts(AT_ONCE, spec.vocab_size);
    let cpu = Cpu::new(&options(isa, precision)).expect("threads");
    let mut model = Decoder::load(cpu, spec, &checkpoint, 8192, AT_ONCE).expect("a model");
    let worst = worst_difference(&mut model, &texts);
    assert_eq!(worst, 0.0, "{} {precision:?} {isa:?}", path.display());
}

#[test]
fn many_sequences_at_once_give_the_same_bits_as_one_by_one() {
    for family in ["llama", "gemma3_text", "lfm2", "qwen3_moe"] {
        assert_batching_changes_nothing(&folder(family), Precision::Exact, Isa::best());
    }
    let rounded =
        ["Q4_0", "Q8_0", "Q6_K", "Q4_K_M", "BF16"].map(|name| format!("qwen3-{name}.gguf"));
    for (path, _) in gguf_files() {
        if rounded.iter().any(|name| path.ends_with(name)) {
            // Not on the scalar one, which has no groups of rows and takes minutes.
            for isa in Isa::available().filter(|&isa| isa != Isa::Scalar) {
                assert_batching_changes_nothing(&path, Precision::Int8, isa);
            }
        }
    }
}

#[test]
fn a_token_allocates_nothing() {
    let cpu = CpuOptions {
        threads: Some(1),
        ..CpuOptions::default()
    };
    // Without windows: where one lets go of a block, the list of free blocks may grow.
    for family in ["qwen3", "llama", "qwen3_moe", "lfm2"] {
        let mut model = model(&folder(family), cpu);
        let sequence = model.start(64).expect("a sequence");
        let mut forward = |tokens: &[u32]| {
            let step = Step {
                sequence,
                tokens,
                logits: LogitsFor::Last,
            };
            model.forward(&[step]).expect("a forward pass").len()
        };
        forward(&[1; 36]);
        forward(&[2]);
        let counted = allocation_counter::measure(|| {
            (0..20).for_each(|token| {
                forward(&[token]);
            });
        });
        assert_eq!(counted.count_total, 0, "{family}");
    }
}

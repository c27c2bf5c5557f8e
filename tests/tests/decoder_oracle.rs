//! The reference backend against the logits of Hugging Face transformers.

use std::path::{Path, PathBuf};

use ponder_runtime::{decoder::Model, spec::ArchSpec, weights::Checkpoint};
use ponder_tests::oracle::{
    Case, cases, greedy, load, logits_in_chunks, shared, worst_relative_error,
};

/// Folders of golden models whose family this build has.
const FOLDERS: &[&str] = &[
    "gemma3",
    "gemma3_text",
    "lfm2",
    "llama",
    "ministral3",
    "mistral",
    "mistral3",
    "olmo3",
    "phi3",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "seed_oss",
    "smollm3",
];

/// `‖a − b‖ / ‖b‖` at every position.
const TOLERANCE: f64 = 2e-4;

#[test]
fn safetensors_match_transformers() {
    // `PONDER_GOLDEN` points to goldens of other configurations and seeds: `<family>-held` folders.
    let own = std::env::var_os("PONDER_GOLDEN").map(|path| (PathBuf::from(path), "held"));
    for (root, variant) in shared("oracle/golden")
        .map(|path| (path, "dev"))
        .into_iter()
        .chain(own)
    {
        for family in FOLDERS {
            let folder = root.join(format!("{family}-{variant}"));
            for config in ["config.json", "config.v4.json"] {
                if folder.join(config).exists() {
                    check_folder(&folder, config);
                } else {
                    assert_ne!(
                        config,
                        "config.json",
                        "{} has no configuration",
                        folder.display()
                    );
                }
            }
        }
    }
}

fn check_folder(folder: &Path, config: &str) {
    let checkpoint = Checkpoint::open(folder).expect("a checkpoint");
    let text = std::fs::read_to_string(folder.join(config)).expect("a configuration");
    let spec = ArchSpec::from_config(&serde_json::from_str(&text).expect("JSON"))
        .expect("a supported architecture");
    let mut model = load(&checkpoint, spec);
    let name = format!("{} {config}", folder.file_name().expect("a name").display());
    check_cases(
        &mut model,
        &cases(&folder.join("golden.safetensors")),
        &name,
        TOLERANCE,
    );
}

#[test]
fn gguf_matches_transformers_on_dequantized_weights() {
    let Some(root) = shared("oracle/golden/gguf-dev") else {
        return;
    };
    let mut checked = 0;
    for entry in std::fs::read_dir(&root).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "gguf") {
            let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
            let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
            let mut model = load(&checkpoint, spec);
            let name = path.file_stem().expect("a name").display().to_string();
            check_cases(
                &mut model,
                &cases(&path.with_extension("golden.safetensors")),
                &name,
                TOLERANCE,
            );
            checked += 1;
        }
    }
    assert!(checked >= 27, "only {checked} GGUF goldens were found");
}

/// Prefill, greedy continuation, and one token at a time.
fn check_cases(model: &mut dyn Model, cases: &[Case], name: &str, tolerance: f64) {
    assert!(!cases.is_empty(), "{name}: no cases");
    let width = model.spec().vocab_size;
    let (mut prefill, mut single) = (0f64, 0f64);
    for case in cases {
        let planned = case.prompt.len() + case.greedy.len();
        let whole = logits_in_chunks(model, &case.prompt, case.prompt.len(), planned);
        prefill = prefill.max(worst_relative_error(&whole, &case.logits, width));
        assert_eq!(
            greedy(model, &case.prompt, case.greedy.len()),
            case.greedy,
            "{name}: greedy ids"
        );
        let stepwise = logits_in_chunks(model, &case.prompt, 1, planned);
        single = single.max(worst_relative_error(&stepwise, &whole, width));
    }
    println!("{name}: prefill {prefill:.1e}, one at a time {single:.1e}");
    assert!(
        prefill <= tolerance,
        "{name}: relative error {prefill:.2e} of prefill"
    );
    assert!(
        single <= tolerance,
        "{name}: relative error {single:.2e} of single steps against prefill"
    );
}

//! The reference backend against the logits of Hugging Face transformers.

use std::path::{Path, PathBuf};

use ponder_runtime::{spec::ArchSpec, weights::Checkpoint};
use ponder_tests::oracle::{TOLERANCE, cases, check_cases, load, shared};

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

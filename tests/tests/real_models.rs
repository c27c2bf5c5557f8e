//! Real models, where `cargo xtask assets smollm2 gemma3` has fetched them.

use std::path::{Path, PathBuf};

use ponder_runtime::{
    decoder::{LogitsFor, Model, Step},
    spec::ArchSpec,
    weights::Checkpoint,
};
use ponder_tests::oracle::load;

/// A fetched file, or `None` (with a line that says so).
fn asset(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PONDER_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/assets"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if !path.exists() {
        println!(
            "skipped: {} is not there (cargo xtask assets)",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// The probabilities of the next token.
fn next_token(path: &Path, ids: &[u32]) -> Vec<f64> {
    let checkpoint = Checkpoint::open(path).expect("a checkpoint");
    let mut model = load(
        &checkpoint,
        ArchSpec::of(&checkpoint).expect("a supported architecture"),
    );
    let sequence = model.start(ids.len()).expect("a sequence");
    let step = Step {
        sequence,
        tokens: ids,
        logits: LogitsFor::Last,
    };
    let logits = model.forward(&[step]).expect("a forward pass");
    let max = logits.iter().copied().fold(f32::MIN, f32::max);
    let weights: Vec<f64> = logits
        .iter()
        .map(|logit| f64::from(logit - max).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

const SMOLLM2: &[(usize, f64)] = &[
    (504, 0.15218),
    (60, 0.14018),
    (15319, 0.10376),
    (2219, 0.06042),
    (7026, 0.05538),
    (14925, 0.04625),
    (50, 0.0444),
    (3706, 0.04106),
    (30904, 0.0232),
    (39832, 0.02182),
];

const GEMMA3: &[(usize, f64)] = &[
    (506, 0.19128),
    (496, 0.11104),
    (9079, 0.08401),
    (886, 0.07190),
    (3224, 0.05174),
    (3187, 0.02247),
    (711, 0.01951),
    (7001, 0.01894),
    (5628, 0.01646),
    (614, 0.01562),
];

/// The likeliest tokens and their probabilities as transformers 5.23 computes them in float32 on the
/// dequantized weights.
fn check(name: &str, ids: &[u32], expected: &[(usize, f64)]) {
    let Some(path) = asset(name) else { return };
    let found = next_token(&path, ids);
    for &(token, probability) in expected {
        let difference = (found[token] - probability).abs();
        assert!(
            difference < 2e-4,
            "{name}: token {token}: {} instead of {probability}",
            found[token]
        );
    }
}

#[test]
fn smollm2_predicts_what_transformers_predicts() {
    // The chat template's default system text, "What is the capital of France?", the turn's opening.
    let ids = [
        1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411,
        407, 19712, 8182, 2, 198, 1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1,
        520, 9531, 198,
    ];
    check("SmolLM2-135M-Instruct.Q4_1.gguf", &ids, SMOLLM2);
}

#[test]
fn gemma3_predicts_what_transformers_predicts() {
    // BOS and "The capital of France is".
    check(
        "gemma-3-270m-q4_k_m.gguf",
        &[2, 818, 5279, 529, 7001, 563],
        GEMMA3,
    );
}

//! Golden logits: where they lie, how a model is compared with them.

use std::path::{Path, PathBuf};

use ponder_runtime::{
    backend::{Backend, reference::Reference},
    decoder::{Decoder, LogitsFor, Model, Step},
    spec::ArchSpec,
    weights::Checkpoint,
};
use safetensors::SafeTensors;

/// `shared/PART` beside the workspace, or `None` (with a line that says so) where it is absent.
pub fn shared(part: &str) -> Option<PathBuf> {
    let path = crate::root().join("../../shared").join(part);
    if !path.exists() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// How far logits may be from those of transformers: `‖a − b‖ / ‖b‖` at every position.
pub const TOLERANCE: f64 = 2e-4;

/// One prompt and what follows from it.
#[derive(Debug)]
pub struct Case {
    /// Token ids.
    pub prompt: Vec<u32>,
    /// Logits of every position. `[prompt, vocab]`
    pub logits: Vec<f32>,
    /// Greedy continuation.
    pub greedy: Vec<u32>,
}

/// Reads `prompt_i`, `logits_i`, `greedy_i` for i = 0, 1, ...
pub fn cases(golden: &Path) -> Vec<Case> {
    let bytes =
        std::fs::read(golden).unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
    let tensors = SafeTensors::deserialize(&bytes).expect("a golden file");
    let ids = |name: String| -> Option<Vec<u32>> {
        let data = tensors.tensor(&name).ok()?.data().to_vec();
        Some(
            data.chunks_exact(8)
                .map(|id| i64::from_le_bytes(id.try_into().expect("8 bytes")) as u32)
                .collect(),
        )
    };
    let floats = |name: String| -> Vec<f32> {
        let data = tensors.tensor(&name).expect("logits").data().to_vec();
        data.chunks_exact(4)
            .map(|value| f32::from_le_bytes(value.try_into().expect("4 bytes")))
            .collect()
    };
    (0..)
        .map_while(|i| {
            Some(Case {
                prompt: ids(format!("prompt_{i}"))?,
                logits: floats(format!("logits_{i}")),
                greedy: ids(format!("greedy_{i}"))?,
            })
        })
        .collect()
}

/// Loads a model on the reference backend, with room for a few sequences.
pub fn load(checkpoint: &Checkpoint, spec: ArchSpec) -> Decoder<Reference> {
    load_on(Reference::default(), checkpoint, spec)
}

/// Loads a model on a backend, with room for a few sequences.
pub fn load_on<B: Backend>(backend: B, checkpoint: &Checkpoint, spec: ArchSpec) -> Decoder<B> {
    Decoder::load(backend, spec, checkpoint, 4096, 8)
        .unwrap_or_else(|error| panic!("{}: {error}", checkpoint.path().display()))
}

/// Appends tokens to a new sequence in chunks; all logits. `planned` is the length it will reach.
pub fn logits_in_chunks(
    model: &mut dyn Model,
    tokens: &[u32],
    chunk: usize,
    planned: usize,
) -> Vec<f32> {
    let sequence = model.start(planned).expect("a sequence");
    let mut logits = Vec::new();
    for tokens in tokens.chunks(chunk) {
        let step = Step {
            sequence,
            tokens,
            logits: LogitsFor::All,
        };
        logits.extend_from_slice(model.forward(&[step]).expect("a forward pass"));
    }
    model.free(sequence).expect("the sequence");
    logits
}

/// Greedy continuation with the cache.
pub fn greedy(model: &mut dyn Model, prompt: &[u32], n: usize) -> Vec<u32> {
    let sequence = model.start(prompt.len() + n).expect("a sequence");
    let mut out = Vec::new();
    let mut next = prompt.to_vec();
    while out.len() < n {
        let step = Step {
            sequence,
            tokens: &next,
            logits: LogitsFor::Last,
        };
        let token = argmax(model.forward(&[step]).expect("a forward pass"));
        out.push(token);
        next = vec![token];
    }
    model.free(sequence).expect("the sequence");
    out
}

/// Prefill, greedy continuation, and one token at a time.
pub fn check_cases(model: &mut dyn Model, cases: &[Case], name: &str, tolerance: f64) {
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

/// The largest relative error of a row, `‖a − b‖ / ‖b‖`.
pub fn worst_relative_error(a: &[f32], b: &[f32], width: usize) -> f64 {
    assert_eq!(a.len(), b.len(), "as many logits as expected");
    let norm = |row: &mut dyn Iterator<Item = f64>| row.map(|x| x * x).sum::<f64>().sqrt();
    let rows = a
        .chunks_exact(width)
        .zip(b.chunks_exact(width))
        .map(|(a, b)| {
            let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
            difference / norm(&mut b.iter().map(|&b| f64::from(b)))
        });
    rows.fold(0.0, f64::max)
}

fn argmax(logits: &[f32]) -> u32 {
    let best = logits
        .iter()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(b.1))
        .expect("logits");
    best.0 as u32
}

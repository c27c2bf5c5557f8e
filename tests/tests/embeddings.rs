//! Texts as vectors.

use std::path::Path;

use ponder_engine::{Engine, EngineError, LoadOptions, Pooling, RawPrompt};
use ponder_runtime::{
    backend::reference::Reference,
    decoder::{Decoder, LogitsFor, Model, Step},
    spec::ArchSpec,
    weights::Checkpoint,
};
use ponder_tests::tiny;

fn load(folder: &Path, file: &[u8]) -> Engine {
    let path = folder.join("tiny.gguf");
    std::fs::write(&path, file).expect("a file");
    let path = path.to_str().expect("UTF-8");
    Engine::load(path, &LoadOptions::default(), &mut |_| {}).expect("a model")
}

fn text(text: &str) -> RawPrompt {
    RawPrompt::Text(text.to_owned())
}

/// The vector that is expected of tokens that count so much.
fn expected(counts: &[(u8, f32)]) -> Vec<f32> {
    let mut vector = vec![0.0; 260];
    let norm = counts.iter().map(|(_, n)| n * n).sum::<f32>().sqrt();
    for (token, n) in counts {
        vector[usize::from(*token)] = n / norm;
    }
    vector
}

#[track_caller]
fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f32::max) < 1e-3, "{found:?}");
}

#[test]
fn states_become_one_vector_as_the_model_wants_it() {
    // Longer than a step, in the last case.
    let long = "ab".repeat(80) + &"b".repeat(80);
    let cases = [
        (1, Pooling::Mean, "aab", vec![(b'a', 2.0), (b'b', 1.0)]),
        (2, Pooling::First, "abc", vec![(b'a', 1.0)]),
        (3, Pooling::Last, "abc", vec![(b'c', 1.0)]),
        (1, Pooling::Mean, &long, vec![(b'a', 1.0), (b'b', 2.0)]),
    ];
    for (kind, pooling, said, counts) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = load(folder.path(), &tiny::embedding(kind));
        assert_eq!(engine.model().pooling, Some(pooling));
        let vectors = engine.embed(&[text(said), RawPrompt::Ids(vec![120])]);
        let vectors = vectors.expect("vectors");
        assert_eq!((vectors[0].1, vectors[1].1), (said.len(), 1));
        near(&vectors[0].0, &expected(&counts));
        near(&vectors[1].0, &expected(&[(120, 1.0)]));
        let empty = engine.embed(&[text("fine"), text("")]);
        assert!(matches!(empty, Err(EngineError::EmptyPrompt)));
        let long = engine.embed(&[text(&"x".repeat(257))]);
        assert!(matches!(
            long,
            Err(EngineError::PromptTooLong {
                prompt: 257,
                context: 256
            })
        ));
        assert!(engine.embed(&[RawPrompt::Ids(vec![999_999])]).is_err());
        near(
            &engine.embed(&[text("x")]).expect("a vector")[0].0,
            &expected(&[(b'x', 1.0)]),
        );
    }
}

#[test]
fn a_model_that_is_not_made_for_it_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = load(folder.path(), &tiny::scripted(&["yes"]));
    let error = engine
        .embed(&[text("a")])
        .expect_err("no vectors")
        .to_string();
    assert!(
        error.contains("tiny.gguf") && error.contains("hint:"),
        "{error}"
    );
}

#[test]
fn logits_are_the_head_times_the_states() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.gguf");
    std::fs::write(&path, tiny::babbling()).expect("a file");
    let checkpoint = Checkpoint::open(&path).expect("a model");
    let spec = ArchSpec::of(&checkpoint).expect("its description");
    let (width, n_tokens) = (spec.hidden_size, spec.vocab_size);
    let backend = Reference::new(Some(1)).expect("a backend");
    let mut model = Decoder::load(backend, spec, &checkpoint, 64, 2).expect("a model");
    let mut outputs = [true, false].map(|is_hidden| {
        let sequence = model.start(8).expect("a sequence");
        let step = [Step {
            sequence,
            tokens: &[5, 77, 9],
            logits: LogitsFor::All,
        }];
        let output = match is_hidden {
            true => model.hidden(&step),
            false => model.forward(&step),
        };
        output.expect("an output").to_vec()
    });
    let [states, logits] = &mut outputs;
    assert_eq!((states.len(), logits.len()), (3 * width, 3 * n_tokens));
    let mut head = vec![0.0; width * n_tokens];
    let tensor = checkpoint.tensor("output.weight").expect("the head");
    tensor.read_rows(0..n_tokens, &mut head);
    for (state, logits) in states.chunks(width).zip(logits.chunks(n_tokens)) {
        for (row, logit) in head.chunks(width).zip(logits) {
            let product: f32 = row.iter().zip(state).map(|(a, b)| a * b).sum();
            assert!((product - logit).abs() < 1e-3 * logit.abs().max(1.0));
        }
    }
}

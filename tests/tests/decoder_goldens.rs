//! Every family on the reference backend, against golden models that the project brings along; and
//! the ways to the same logits: in chunks, beside others, from a fork, after a rollback.

use std::path::Path;

use ponder_models::FAMILIES;
use ponder_runtime::{
    backend::reference::Reference,
    cache::{BLOCK_LEN, SeqId},
    decoder::{Decoder, LogitsFor, Model, Step},
    spec::ArchSpec,
    weights::Checkpoint,
};
use ponder_tests::{
    goldens::{Draft, folder, open},
    oracle::{Case, TOLERANCE, cases, check_cases, load, logits_in_chunks, worst_relative_error},
};
use safetensors::Dtype;
use serde_json::json;

/// Between two ways through the same arithmetic, of which only the order of sums may differ.
const SAME: f64 = 5e-5;

/// Families whose golden model has windows.
const WINDOWED: &[&str] = &["gemma3_text", "mistral", "olmo3", "phi3", "qwen2"];

fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(family, _)| *family)
}

/// Appends tokens to a sequence and returns the logits of all of them.
fn extend(model: &mut dyn Model, sequence: SeqId, tokens: &[u32]) -> Vec<f32> {
    let step = Step {
        sequence,
        tokens,
        logits: LogitsFor::All,
    };
    model.forward(&[step]).expect("a forward pass").to_vec()
}

fn assert_same(found: &[f32], expected: &[f32], model: &dyn Model, what: &str) {
    let spec = model.spec();
    let error = worst_relative_error(found, expected, spec.vocab_size);
    assert!(error <= SAME, "{} {what}: {error:.1e}", spec.family);
}

/// The model, and its first prompt that is longer than a block.
fn open_long(family: &str) -> (Decoder<Reference>, Case) {
    let (model, cases) = open(family);
    let long = cases
        .into_iter()
        .find(|case| case.prompt.len() > BLOCK_LEN)
        .expect("a prompt longer than a block");
    (model, long)
}

#[test]
fn every_family_has_a_golden_model_and_matches_it() {
    for family in families() {
        assert!(
            folder(family).join("golden.safetensors").exists(),
            "no golden model of {family}: add it to tests/data/make_goldens.py and run that"
        );
        let (mut model, cases) = open(family);
        assert_eq!(model.spec().family, family);
        check_cases(&mut model, &cases, family, TOLERANCE);
    }
}

/// Were one of these facts ignored, the golden values would say so.
#[test]
fn golden_models_depend_on_every_mechanism() {
    for (family, pointer, other) in [
        ("gemma3_text", "/sliding_window", json!(13)),
        ("gemma3_text", "/query_pre_attn_scalar", json!(16)),
        (
            "gemma3_text",
            "/rope_parameters/full_attention/factor",
            json!(4.0),
        ),
        (
            "gemma3_text",
            "/rope_parameters/sliding_attention/rope_theta",
            json!(1e6),
        ),
        ("llama", "/rope_parameters/rope_type", json!("default")),
        ("llama", "/rope_parameters/high_freq_factor", json!(8.0)),
        ("ministral3", "/rope_parameters/rope_type", json!("default")),
        ("ministral3", "/rope_parameters/mscale", json!(0.5)),
        (
            "ministral3",
            "/rope_parameters/llama_4_scaling_beta",
            json!(0.2),
        ),
        ("mistral", "/sliding_window", json!(13)),
        ("olmo3", "/sliding_window", json!(13)),
        ("olmo3", "/layer_types/3", json!("sliding_attention")),
        (
            "olmo3",
            "/rope_parameters/full_attention/rope_type",
            json!("default"),
        ),
        ("phi3", "/sliding_window", json!(37)),
        ("phi3", "/rope_parameters/short_factor/1", json!(1.2)),
        ("phi3", "/rope_parameters/long_factor/1", json!(1.7)),
        ("phi3", "/rope_parameters/rope_theta", json!(2e4)),
        ("qwen2", "/sliding_window", json!(13)),
        ("qwen2", "/layer_types/0", json!("sliding_attention")),
        ("qwen3", "/rope_parameters/rope_theta", json!(1e5)),
        ("qwen3_moe", "/norm_topk_prob", json!(false)),
        ("qwen3_moe", "/num_experts_per_tok", json!(1)),
        ("seed_oss", "/rope_parameters/rope_theta", json!(1e5)),
        ("smollm3", "/no_rope_layers/1", json!(1)),
    ] {
        let mut draft = Draft::of(family);
        *draft.config.pointer_mut(pointer).expect("the key") = other;
        let written = draft.write();
        let checkpoint = Checkpoint::open(written.path()).expect("a checkpoint");
        let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
        let mut model = load(&checkpoint, spec);
        let width = model.spec().vocab_size;
        let errors = cases(&folder(family).join("golden.safetensors"))
            .into_iter()
            .map(|case| {
                let n = case.prompt.len();
                let logits = logits_in_chunks(&mut model, &case.prompt, n, n + case.greedy.len());
                worst_relative_error(&logits, &case.logits, width)
            });
        let worst = errors.fold(0.0, f64::max);
        assert!(worst > 10.0 * TOLERANCE, "{family} {pointer}: {worst:.1e}");
    }
}

#[test]
fn gguf_files_match_on_dequantized_weights() {
    for name in ["llama-q8_0", "gemma3-q4_0"] {
        let path = folder("gguf").join(format!("{name}.gguf"));
        let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
        let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
        let mut model = load(&checkpoint, spec);
        let cases = cases(&path.with_extension("golden.safetensors"));
        check_cases(&mut model, &cases, name, TOLERANCE);
    }
}

#[test]
fn prompts_in_chunks_equal_whole_ones() {
    for family in families() {
        let (mut model, cases) = open(family);
        let prompt = &cases.last().expect("a case").prompt;
        let whole = logits_in_chunks(&mut model, prompt, prompt.len(), prompt.len());
        for chunk in [5, BLOCK_LEN, BLOCK_LEN + 1] {
            let chunked = logits_in_chunks(&mut model, prompt, chunk, prompt.len());
            assert_same(&chunked, &whole, &model, &format!("in chunks of {chunk}"));
        }
    }
}

#[test]
fn sequences_in_one_pass_do_not_mix() {
    for family in families() {
        let (mut model, Case { prompt, .. }) = open_long(family);
        let planned = prompt.len() + 1;
        let (other, last) = (&prompt[..20], prompt[20]);
        let prefill_alone = logits_in_chunks(&mut model, &prompt, prompt.len(), planned);
        let decode_alone = logits_in_chunks(&mut model, &prompt[..21], 21, planned);

        let decoding = model.start(planned).expect("a sequence");
        let prefilling = model.start(planned).expect("a sequence");
        extend(&mut model, decoding, other);
        let steps = [
            Step {
                sequence: prefilling,
                tokens: &prompt,
                logits: LogitsFor::All,
            },
            Step {
                sequence: decoding,
                tokens: &[last],
                logits: LogitsFor::Last,
            },
        ];
        let both = model.forward(&steps).expect("a forward pass").to_vec();
        let (prefill, decode) = both.split_at(prefill_alone.len());
        assert_same(prefill, &prefill_alone, &model, "prefill beside decode");
        let row = decode_alone.len() - model.spec().vocab_size;
        assert_same(
            decode,
            &decode_alone[row..],
            &model,
            "decode beside prefill",
        );
    }
}

#[test]
fn forks_go_separate_ways() {
    for family in families() {
        let (mut model, Case { prompt, .. }) = open_long(family);
        let width = model.spec().vocab_size;
        // The fork shares a block that is partly filled, and both ways cross into the next.
        let (past, one) = prompt.split_at(20);
        let other: Vec<u32> = one.iter().rev().copied().collect();
        let alone = |model: &mut Decoder<Reference>, way: &[u32]| {
            let whole = [past, way].concat();
            logits_in_chunks(model, &whole, whole.len(), whole.len()).split_off(past.len() * width)
        };
        let expected_one = alone(&mut model, one);
        let expected_other = alone(&mut model, &other);

        let first = model.start(prompt.len()).expect("a sequence");
        extend(&mut model, first, past);
        let second = model.fork(first).expect("a fork");
        let mut found_one = extend(&mut model, first, &one[..7]);
        let found_other = extend(&mut model, second, &other);
        found_one.extend(extend(&mut model, first, &one[7..]));
        assert_same(&found_one, &expected_one, &model, "forked from");
        assert_same(&found_other, &expected_other, &model, "fork");
    }
}

#[test]
fn a_truncated_sequence_continues_like_a_fresh_one() {
    for family in families() {
        let (mut model, Case { prompt, .. }) = open_long(family);
        let width = model.spec().vocab_size;
        let sequence = model.start(prompt.len()).expect("a sequence");
        extend(&mut model, sequence, &prompt);
        let kept = 30;
        let truncated = model.truncate(sequence, kept);
        if model
            .cache()
            .sequence(sequence)
            .expect("it")
            .slot()
            .is_some()
        {
            // A recurrent state has no way back.
            let error = truncated.expect_err("a refusal").to_string();
            assert!(error.contains("from 41 to 30 tokens"), "{error}");
            continue;
        }
        truncated.expect("a rollback inside the window");
        let continuation: Vec<u32> = prompt[kept..].iter().rev().copied().collect();
        let whole = [&prompt[..kept], &continuation].concat();
        let fresh = logits_in_chunks(&mut model, &whole, whole.len(), whole.len());
        let found = extend(&mut model, sequence, &continuation);
        assert_same(&found, &fresh[kept * width..], &model, "after a rollback");
    }
}

#[test]
fn windows_let_go_of_what_they_no_longer_see() {
    for family in WINDOWED {
        let (mut model, cases) = open(family);
        let prompt = &cases.last().expect("a case").prompt;
        assert!(
            prompt.len() > 3 * BLOCK_LEN,
            "{family}: a prompt of several blocks"
        );
        let windows: Vec<_> = model
            .cache()
            .plan()
            .groups
            .iter()
            .map(|group| group.window)
            .collect();
        assert!(windows.iter().any(Option::is_some), "{family} has windows");

        let sequence = model.start(prompt.len()).expect("a sequence");
        for tokens in prompt.chunks(7) {
            extend(&mut model, sequence, tokens);
        }
        for (group, window) in windows.iter().enumerate() {
            let table = model.cache().sequence(sequence).expect("it").table(group);
            let held = prompt.len() - table.first_position();
            match window {
                // What the first token of the last chunk sees, up to the border of a block.
                Some(window) => assert!(held <= window + 7 + BLOCK_LEN, "{family}: {held} held"),
                None => assert_eq!(held, prompt.len(), "{family}"),
            }
        }
        // Nothing is left of the beginning, so there is no way back to it.
        let error = model
            .truncate(sequence, 5)
            .expect_err("a refusal")
            .to_string();
        assert!(error.contains("from 100 to 5 tokens"), "{error}");
    }
}

/// The line that loading says.
fn refusal(folder: &Path) -> String {
    let checkpoint = Checkpoint::open(folder).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    match Decoder::load(Reference::default(), spec, &checkpoint, 64, 1) {
        Ok(_) => panic!("loaded"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_missing_tensor_is_named() {
    for family in families() {
        let complete = Draft::of(family);
        for name in complete.tensors.keys() {
            let mut draft = Draft::of(family);
            draft.tensors.remove(name);
            let error = refusal(draft.write().path());
            assert!(
                error.contains(&format!("\"{name}\"")) && error.contains("missing"),
                "{family} without {name}: {error}"
            );
        }
    }
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let mut draft = Draft::of("llama");
    let name = "model.layers.1.self_attn.k_proj.weight";
    let (_, shape, data) = draft.tensors.get_mut(name).expect("the tensor");
    assert_eq!(*shape, [16, 32]);
    shape[0] = 8;
    data.truncate(data.len() / 2);
    let error = refusal(draft.write().path());
    for part in [name, "[8, 32]", "[16, 32]"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_tensor_that_no_part_claims_is_named() {
    let mut draft = Draft::of("mistral");
    let name = "model.layers.0.self_attn.q_proj.bias";
    draft
        .tensors
        .insert(name.into(), (Dtype::F32, vec![64], vec![0; 256]));
    let error = refusal(draft.write().path());
    assert!(error.contains(name) && error.contains("mistral"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_changes() {
    let (mut model, cases) = open("qwen3");
    let prompt = &cases[1].prompt;
    let sequence = model.start(128).expect("a sequence");
    let mut refuse = |tokens: &[u32]| {
        let step = Step {
            sequence,
            tokens,
            logits: LogitsFor::Last,
        };
        model.forward(&[step]).expect_err("a refusal").to_string()
    };
    let error = refuse(&[5, 96, 7]);
    assert!(
        error.contains("96 is outside the vocabulary of 96"),
        "{error}"
    );
    let error = refuse(&[5; 129]);
    assert!(
        error.contains("129 tokens") && error.contains("context of 128"),
        "{error}"
    );
    // The sequence is as empty as it was.
    let found = extend(&mut model, sequence, prompt);
    let error = worst_relative_error(&found, &cases[1].logits, 96);
    assert!(error <= TOLERANCE, "{error:.1e}");
}

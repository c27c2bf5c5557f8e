//! The CUDA backend against golden logits: on the processor in place of a device (feature
//! `cuda-emulated`, unless `PONDER_DEVICE=cuda` names a device), or on the first device of the machine
//! (feature `cuda`).
#![cfg(any(feature = "cuda", feature = "cuda-emulated"))]

use std::path::Path;

use ponder_models::FAMILIES;
use ponder_runtime::{
    backend::{
        KvFormat,
        cuda::{Cuda, CudaOptions, Precision},
    },
    decoder::{Decoder, LogitsFor, Model, Step},
    spec::ArchSpec,
    weights::Checkpoint,
};
use ponder_tests::{
    batching::{texts, worst_difference},
    goldens::folder,
    oracle::{cases, check_cases, load_on, logits_in_chunks, shared, worst_relative_error},
};

/// Relative error of logits in float32 throughout.
const EXACT: f64 = 1e-4;
/// The same where the activations of many rows are rounded to bfloat16: these models are so small that
/// hardly anything averages out. Rounding costs the processor's bfloat16 as much.
const FAST: f64 = 0.1;
/// The same where activations of few rows are not rounded, and keys and values to half precision.
const FAST_FEW: f64 = 0.01;

const EXACT_OPTIONS: CudaOptions = CudaOptions {
    precision: Precision::Exact,
    kv_format: KvFormat::F32,
    swap_bytes: 0,
};

fn backend(options: &CudaOptions) -> Cuda {
    #[cfg(feature = "cuda-emulated")]
    return Cuda::for_tests(options).expect("a device, or the processor");
    #[cfg(not(feature = "cuda-emulated"))]
    Cuda::open(0, options).expect("a device")
}

fn model(path: &Path, options: &CudaOptions) -> Decoder<Cuda> {
    model_on(backend(options), path)
}

fn model_on(backend: Cuda, path: &Path) -> Decoder<Cuda> {
    let checkpoint = Checkpoint::open(path).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    load_on(backend, &checkpoint, spec)
}

#[test]
fn every_family_matches_its_golden_model() {
    for (family, _) in FAMILIES {
        let folder = folder(family);
        let mut model = model(&folder, &EXACT_OPTIONS);
        let cases = cases(&folder.join("golden.safetensors"));
        check_cases(&mut model, &cases, family, EXACT);
    }
}

/// Files of the oracle. Their vocabularies are large, so the processor in place of a device, which has
/// tests of every format at hand, takes one of them.
fn gguf_files() -> Vec<std::path::PathBuf> {
    let Some(root) = shared("oracle/golden/gguf-dev") else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(root).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let has_device = std::env::var_os("PONDER_DEVICE").is_some();
    let is_slow = cfg!(feature = "cuda-emulated") && !has_device;
    let is_wanted = |path: &std::path::PathBuf| match is_slow {
        true => path.ends_with("qwen3-Q4_K_M.gguf"),
        false => path.extension().is_some_and(|ending| ending == "gguf"),
    };
    let files: Vec<_> = paths.filter(is_wanted).collect();
    assert!(!files.is_empty(), "files of the oracle");
    files
}

#[test]
fn tensor_types_match_with_exact_activations() {
    for path in gguf_files() {
        let width = {
            let checkpoint = Checkpoint::open(&path).expect("a checkpoint");
            ArchSpec::of(&checkpoint)
                .expect("an architecture")
                .vocab_size
        };
        let mut model = model(&path, &EXACT_OPTIONS);
        for case in cases(&path.with_extension("golden.safetensors")) {
            let len = case.prompt.len();
            let logits = logits_in_chunks(&mut model, &case.prompt, len, len);
            let error = worst_relative_error(&logits, &case.logits, width);
            println!("{}: {error:.1e}", path.display());
            assert!(error <= EXACT, "{}: {error:.1e}", path.display());
        }
    }
}

#[test]
fn fast_paths_stay_near_the_golden_models() {
    for (family, _) in FAMILIES {
        let folder = folder(family);
        let backend = backend(&CudaOptions::default());
        let device = backend.device().clone();
        let mut model = model_on(backend, &folder);
        let width = model.spec().vocab_size;
        for case in cases(&folder.join("golden.safetensors")) {
            let len = case.prompt.len();
            for chunk in [1, 5, len] {
                let logits = logits_in_chunks(&mut model, &case.prompt, chunk, len);
                let error = worst_relative_error(&logits, &case.logits, width);
                let limit = if chunk > 8 { FAST } else { FAST_FEW };
                println!("{family}, chunks of {chunk}: {error:.1e}");
                assert!(error <= limit, "{family}, chunks of {chunk}: {error:.1e}");
            }
        }
        // Steps of one token have been one kernel, too, where a device has it.
        let can_be_one = device.properties().compute_capability >= (8, 0);
        assert!(device.n_fused() > 0 || !can_be_one, "{family}");
    }
}

#[test]
fn all_ways_to_store_keys_and_values_agree() {
    for (kv_format, limit) in [
        (KvFormat::F32, EXACT),
        (KvFormat::F16, 2e-3),
        (KvFormat::BF16, 2e-2),
        (KvFormat::Q8_0, 3e-2),
        (KvFormat::Fp8, 0.1),
    ] {
        let options = CudaOptions {
            kv_format,
            ..EXACT_OPTIONS
        };
        let folder = folder("qwen3");
        let mut model = model(&folder, &options);
        let width = model.spec().vocab_size;
        for case in cases(&folder.join("golden.safetensors")) {
            let logits = logits_in_chunks(&mut model, &case.prompt, 5, case.prompt.len());
            let error = worst_relative_error(&logits, &case.logits, width);
            println!("{kv_format:?}: {error:.1e}");
            assert!(error <= limit, "{kv_format:?}: {error:.1e}");
        }
    }
}

/// Sequences that run at the same time.
const AT_ONCE: usize = 6;

#[test]
fn many_sequences_at_once_give_what_one_by_one_does() {
    for family in ["gemma3_text", "lfm2", "qwen3_moe"] {
        let checkpoint = Checkpoint::open(&folder(family)).expect("a checkpoint");
        let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
        let texts = texts(AT_ONCE, spec.vocab_size);
        let mut model = Decoder::load(backend(&EXACT_OPTIONS), spec, &checkpoint, 4096, AT_ONCE)
            .expect("a model");
        let worst = worst_difference(&mut model, &texts);
        assert_eq!(worst, 0.0, "{family}");
    }
}

#[test]
fn a_long_prompt_goes_in_one_step_as_in_many() {
    let checkpoint = Checkpoint::open(&folder("lfm2")).expect("a checkpoint");
    let mut spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    spec.context_len = 2048;
    let vocab_size = spec.vocab_size;
    let mut model = load_on(backend(&EXACT_OPTIONS), &checkpoint, spec);
    // More rows than are planned for.
    let n = model.prefill_rows() + 7;
    let prompt: Vec<u32> = (0..n)
        .map(|place| ((place * place * 7 + place) % vocab_size) as u32)
        .collect();
    let at_once = logits_in_chunks(&mut model, &prompt, n, n);
    let in_pieces = logits_in_chunks(&mut model, &prompt, 300, n);
    let error = worst_relative_error(&at_once, &in_pieces, vocab_size);
    assert!(error <= EXACT, "{error:.1e}");
}

/// Logits of steps in which each of `texts` gets one token.
fn logits_token_by_token(model: &mut dyn Model, texts: &[Vec<u32>], n: usize) -> Vec<Vec<u32>> {
    let start = |_| model.start(n).expect("a sequence");
    let sequences: Vec<_> = texts.iter().map(start).collect();
    let step = |place: usize| {
        let own = texts.iter().zip(&sequences);
        let steps: Vec<_> = own
            .map(|(text, &sequence)| Step {
                sequence,
                tokens: &text[place..=place],
                logits: LogitsFor::Last,
            })
            .collect();
        let logits = model.forward(&steps).expect("a forward pass");
        logits.iter().map(|logit| logit.to_bits()).collect()
    };
    let logits = (0..n).map(step).collect();
    for sequence in sequences {
        model.free(sequence).expect("it is there");
    }
    logits
}

#[test]
fn recorded_steps_are_replayed_with_other_experts() {
    const FAMILY: &str = "qwen3_moe";
    let checkpoint = Checkpoint::open(&folder(FAMILY)).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    for options in [EXACT_OPTIONS, CudaOptions::default()] {
        // The last number of sequences is rounded up: some rows are nobody's.
        for n_sequences in [1, 3, 9] {
            let texts = texts(n_sequences, spec.vocab_size);
            let spec = || spec.clone();
            let mut recorded =
                Decoder::load(backend(&options), spec(), &checkpoint, 4096, n_sequences)
                    .expect("a model");
            // What goes from one device to another is not recorded.
            let parts = ((backend(&options), 1), backend(&options));
            let mut plain =
                Decoder::load_split(parts.0, parts.1, spec(), &checkpoint, 4096, n_sequences)
                    .expect("a model");
            let got = logits_token_by_token(&mut recorded, &texts, 12);
            let expected = logits_token_by_token(&mut plain, &texts, 12);
            assert!(got == expected, "{n_sequences} sequences, {options:?}");
        }
    }
}

/// Computes what a cache lacks of a prompt, and a token more in two ways. Gives back what the cache had,
/// and all logits.
fn say(model: &mut Decoder<Cuda>, prompt: &[u32]) -> (usize, Vec<f32>) {
    let opened = model.open(prompt, 1000).expect("a sequence");
    let mut logits = Vec::new();
    let mut forward = |model: &mut Decoder<Cuda>, sequence, tokens: &[u32]| {
        let step = Step {
            sequence,
            tokens,
            logits: LogitsFor::Last,
        };
        logits.extend_from_slice(model.forward(&[step]).expect("a forward pass"));
    };
    forward(model, opened.sequence, &prompt[opened.cached..]);
    let twin = model.fork(opened.sequence).expect("a second sequence");
    forward(model, opened.sequence, &[1]);
    forward(model, twin, &[2]);
    for sequence in [opened.sequence, twin] {
        model.free(sequence).expect("a sequence");
    }
    (opened.cached, logits)
}

#[test]
fn what_had_to_make_room_comes_back_bit_by_bit() {
    let text = |seed: usize| -> Vec<u32> {
        let token = |i: usize| (seed * 7919 + i * i * 31 + i * seed) % 50;
        (0..40 + 3 * seed).map(|i| token(i) as u32).collect()
    };
    for family in ["qwen3", "gemma3_text", "lfm2"] {
        let checkpoint = Checkpoint::open(&folder(family)).expect("a checkpoint");
        let load = |max_tokens, swap_bytes| {
            let options = CudaOptions {
                swap_bytes,
                ..EXACT_OPTIONS
            };
            let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
            Decoder::load(backend(&options), spec, &checkpoint, max_tokens, 8).expect("a model")
        };
        // Room for ten blocks, fewer than the texts have, which leave four each.
        let [mut roomy, mut tight, mut small] = [(8192, 0), (64, 16 << 20), (64, 0)]
            .map(|(max_tokens, swap_bytes)| load(max_tokens, swap_bytes));
        let mut forgotten = 0;
        for round in 0..2 {
            for seed in 0..6 {
                // Where one of the two sequences before went on: its recurrent state is there, too.
                let prompt = [text(seed), vec![1; round], vec![3; round]].concat();
                let (cached, logits) = say(&mut tight, &prompt);
                let (cached_by_roomy, expected) = say(&mut roomy, &prompt);
                assert!(logits == expected, "{family}, {seed}");
                // A window has few blocks in any cache; what it had to give away is elsewhere.
                assert!(cached >= cached_by_roomy, "{family}, {seed}");
                forgotten += cached - say(&mut small, &prompt).0;
            }
        }
        assert!(forgotten > 100, "{forgotten} tokens of {family}");
    }
}

#[cfg(feature = "cuda-emulated")]
#[test]
fn a_step_without_memory_leaves_the_model_usable() {
    let cuda = backend(&EXACT_OPTIONS);
    let device = cuda.device().clone();
    let checkpoint = Checkpoint::open(&folder("qwen3")).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    // More rows than are planned for.
    let texts = texts(24, spec.vocab_size);
    let mut model = Decoder::load(cuda, spec, &checkpoint, 4096, 24).expect("a model");
    let sequences: Vec<_> = texts
        .iter()
        .map(|_| model.start(100).expect("it"))
        .collect();
    let steps: Vec<_> = texts
        .iter()
        .zip(&sequences)
        .map(|(tokens, &sequence)| Step {
            sequence,
            tokens,
            logits: LogitsFor::Last,
        })
        .collect();
    let free = device.free_memory().expect("it is known");
    let taken = device.alloc(free - 4096).expect("memory");
    let error = model.forward(&steps).expect_err("no memory");
    assert!(error.is_out_of_memory(), "{error}");
    for &sequence in &sequences {
        assert_eq!(model.truncate(sequence, 0).expect("it"), 0);
    }
    drop(taken);
    let logits = model.forward(&steps).expect("a forward pass").to_vec();
    let width = model.spec().vocab_size;
    for (text, logits) in texts.iter().zip(logits.chunks(width)) {
        let alone = logits_in_chunks(&mut model, text, text.len(), text.len());
        assert_eq!(alone[alone.len() - width..], *logits);
    }
}

#[test]
fn a_token_allocates_nothing_in_the_program() {
    // Without windows: where one lets go of a block, the list of free blocks may grow.
    for family in ["qwen3", "llama", "lfm2", "qwen3_moe"] {
        let mut model = model(&folder(family), &CudaOptions::default());
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
        // The first step of a size takes memory, the second is recorded.
        forward(&[2]);
        forward(&[3]);
        let counted = allocation_counter::measure(|| {
            (0..5).for_each(|token| {
                forward(&[token]);
            });
        });
        assert_eq!(counted.count_total, 0, "{family}");
    }
}

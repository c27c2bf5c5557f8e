//! A model whose layers are on two backends is the model whose layers are on one.

use ponder_models::FAMILIES;
use ponder_runtime::{
    backend::{
        KvFormat,
        cpu::{Cpu, CpuOptions, Precision},
        reference::Reference,
    },
    decoder::{Decoder, Model},
    spec::ArchSpec,
    weights::Checkpoint,
};
use ponder_tests::{
    batching::{texts, worst_difference},
    goldens::folder,
    oracle::{cases, check_cases},
};

const TOKENS: usize = 4096;
const SEQUENCES: usize = 16;

fn cpu() -> Cpu {
    let options = CpuOptions {
        threads: Some(2),
        precision: Precision::Exact,
        kv_format: KvFormat::F32,
        ..CpuOptions::default()
    };
    Cpu::new(&options).expect("threads")
}

#[test]
fn every_family_can_be_split_anywhere() {
    for (family, _) in FAMILIES {
        let folder = folder(family);
        let cases = cases(&folder.join("golden.safetensors"));
        let checkpoint = Checkpoint::open(&folder).expect("a checkpoint");
        let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
        for n_first in 0..=spec.layers.len() {
            let (spec, last) = (spec.clone(), Reference::default());
            let first = (cpu(), n_first);
            let mut model = Decoder::load_split(first, last, spec, &checkpoint, TOKENS, SEQUENCES)
                .expect("a model");
            let name = format!("{family}, {n_first} layers first");
            check_cases(&mut model, &cases, &name, 1e-4);
        }
    }
}

#[test]
fn forks_and_other_sequences_change_nothing() {
    for family in ["llama", "gemma3_text", "lfm2"] {
        let checkpoint = Checkpoint::open(&folder(family)).expect("a checkpoint");
        let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
        let texts = texts(SEQUENCES, spec.vocab_size);
        let mut model =
            Decoder::load_split((cpu(), 1), cpu(), spec, &checkpoint, TOKENS, SEQUENCES)
                .expect("a model");
        assert_eq!(
            model.spec().layers.len().min(2),
            2,
            "{family}: layers to split"
        );
        let worst = worst_difference(&mut model, &texts);
        assert_eq!(worst, 0.0, "{family}");
    }
}

//! Sequences in the same steps do not change each other's logits.

use std::path::Path;

use ponder_runtime::{
    backend::reference::Reference,
    decoder::{Decoder, Model},
    spec::ArchSpec,
    weights::Checkpoint,
};
use ponder_tests::{
    batching::{texts, worst_difference},
    goldens,
};

const N_TEXTS: usize = 16;

/// A model with room for all texts.
fn open(path: &Path) -> Decoder<Reference> {
    let checkpoint = Checkpoint::open(path).expect("a checkpoint");
    let spec = ArchSpec::of(&checkpoint).expect("a supported architecture");
    Decoder::load(
        Reference::default(),
        spec,
        &checkpoint,
        64 * N_TEXTS,
        N_TEXTS,
    )
    .expect("a model")
}

/// Matrix products of the reference add up in another order for another number of rows, so bits
/// differ; mixing sequences up would make another size of error.
#[test]
fn sequences_at_once_and_each_alone() {
    // Full attention, windows, recurrent layers.
    for family in ["llama", "gemma3_text", "lfm2"] {
        let mut model = open(&goldens::folder(family));
        let vocab_size = model.spec().vocab_size;
        let worst = worst_difference(&mut model, &texts(N_TEXTS, vocab_size));
        println!("{family}: {worst:.1e}");
        assert!(worst <= 5e-5, "{family}: {worst:.1e}");
    }
}

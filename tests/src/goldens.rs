//! The golden models below `tests/data/goldens`, which `tests/data/make_goldens.py` writes.

use std::{collections::BTreeMap, path::PathBuf};

use ponder_runtime::{
    backend::reference::Reference, decoder::Decoder, spec::ArchSpec, weights::Checkpoint,
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::Value;
use tempfile::TempDir;

use crate::oracle::{Case, cases, load};

/// The golden folder of a family.
pub fn folder(family: &str) -> PathBuf {
    crate::root().join("data/goldens").join(family)
}

/// The model of a family with its prompts.
pub fn open(family: &str) -> (Decoder<Reference>, Vec<Case>) {
    let folder = folder(family);
    let checkpoint = Checkpoint::open(&folder).unwrap_or_else(|error| panic!("{family}: {error}"));
    let spec = ArchSpec::of(&checkpoint).unwrap_or_else(|error| panic!("{family}: {error}"));
    (
        load(&checkpoint, spec),
        cases(&folder.join("golden.safetensors")),
    )
}

/// A tensor in memory: kind, shape, bytes.
pub type Stored = (Dtype, Vec<usize>, Vec<u8>);

/// A model folder in memory, to be changed and written somewhere else.
#[derive(Debug)]
pub struct Draft {
    /// `config.json`.
    pub config: Value,
    /// `model.safetensors`.
    pub tensors: BTreeMap<String, Stored>,
}

impl Draft {
    /// Reads the golden folder of a family.
    pub fn of(family: &str) -> Self {
        let read = |name| std::fs::read(folder(family).join(name)).expect("a golden file");
        let bytes = read("model.safetensors");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = file.iter().map(|(name, view)| {
            let stored = (view.dtype(), view.shape().to_vec(), view.data().to_vec());
            (name.to_owned(), stored)
        });
        Self {
            config: serde_json::from_slice(&read("config.json")).expect("JSON"),
            tensors: tensors.collect(),
        }
    }

    /// Writes a folder that lasts as long as the value returned.
    pub fn write(&self) -> TempDir {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("config.json"), self.config.to_string())
            .expect("a written file");
        let views = self.tensors.iter().map(|(name, (dtype, shape, data))| {
            let view = TensorView::new(*dtype, shape.clone(), data).expect("a tensor");
            (name, view)
        });
        safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors"))
            .expect("a written file");
        folder
    }
}

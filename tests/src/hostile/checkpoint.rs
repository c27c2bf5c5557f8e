//! Files that hold weights, and what is derived from their headers.

use std::fs;
use std::path::Path;

use ponder_runtime::spec::ArchSpec;
use ponder_runtime::weights::{Checkpoint, MappedTensor};
use tempfile::TempDir;

use super::parts;

/// The longest row that is read, so that reading costs no more than a constant.
const LONGEST_ROW: usize = 1 << 16;

/// A GGUF file in memory.
pub fn gguf(input: &[u8]) {
    if let Ok(checkpoint) = Checkpoint::from_bytes(input.to_vec()) {
        visit(&checkpoint);
    }
}

/// A folder with safetensors files. Parts: `config.json`, `model.safetensors.index.json` and a
/// shard; without an index the shard is `model.safetensors`.
pub fn safetensors(input: &[u8]) {
    let [config, index, shard] = parts(input);
    let folder = folder();
    write(&folder, "config.json", config);
    if index.is_empty() {
        write(&folder, "model.safetensors", shard);
    } else {
        write(&folder, "model.safetensors.index.json", index);
        write(&folder, "model-00001-of-00002.safetensors", shard);
        write(&folder, "model-00002-of-00002.safetensors", shard);
    }
    if let Ok(checkpoint) = Checkpoint::open(folder.path()) {
        visit(&checkpoint);
    }
}

/// `config.json` of a folder without weights.
pub fn config(input: &[u8]) {
    let folder = folder();
    write(&folder, "config.json", input);
    if let Ok(checkpoint) = Checkpoint::open_metadata(folder.path()) {
        visit(&checkpoint);
    }
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the input")
}

pub(super) fn write(folder: &TempDir, name: impl AsRef<Path>, bytes: &[u8]) {
    fs::write(folder.path().join(name), bytes).expect("room for the input");
}

/// Looks at all that the headers say.
fn visit(checkpoint: &Checkpoint) {
    let _ = ArchSpec::of(checkpoint);
    if let Some(metadata) = checkpoint.gguf() {
        for (key, _) in metadata.iter() {
            // A value has one kind: the other getters have to refuse it.
            let _ = (metadata.str(key), metadata.u64(key), metadata.i64(key));
            let _ = (metadata.f64(key), metadata.bool(key), metadata.array(key));
            let _ = (metadata.opt_i64s(key), metadata.opt_f32s(key));
            if let Ok(Some(strings)) = metadata.opt_strings(key) {
                let _ = strings.count();
            }
        }
    }
    for tensor in checkpoint.tensors() {
        read(tensor);
        if let Ok(part) = tensor.slice_outer(0..1) {
            read(&part);
        }
        let n_outer = tensor.shape().first().copied().unwrap_or(0);
        assert!(
            tensor
                .slice_outer(n_outer..n_outer.saturating_add(1))
                .is_err(),
            "{tensor:?} was cut beyond its end"
        );
    }
}

/// Reads the first and the last row.
fn read(tensor: &MappedTensor) {
    let (n_rows, row_len) = (tensor.n_rows(), tensor.row_len());
    if n_rows > 0 && row_len <= LONGEST_ROW {
        let mut row = vec![0.0; row_len];
        tensor.read_rows(0..1, &mut row);
        tensor.read_rows(n_rows - 1..n_rows, &mut row);
    }
}

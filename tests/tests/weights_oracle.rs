//! Weights against the oracle's files, which lie beside the project on some machines. Where they
//! do not, each test says so and ends; `weights.rs` covers the same ground with data of our own.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ponder_kernels_cpu::{BlockFormat, bf16_to_f32, dequantize};
use ponder_runtime::weights::{Checkpoint, Format, TensorType};
use safetensors::SafeTensors;

fn oracle() -> Option<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracle/golden");
    if golden.is_dir() {
        return Some(golden);
    }
    println!(
        "no oracle at {}: nothing is compared here",
        golden.display()
    );
    None
}

#[test]
fn dequantization_is_bit_for_bit() {
    let Some(golden) = oracle() else { return };
    let bytes = std::fs::read(golden.join("gguf-dev/dequant_vectors.safetensors")).unwrap();
    let vectors = SafeTensors::deserialize(&bytes).unwrap();
    let mut seen = 0;
    for name in vectors.names() {
        let Some(kind) = name.strip_suffix(".raw") else {
            continue;
        };
        let raw = vectors.tensor(name).unwrap();
        let values = vectors.tensor(&format!("{kind}.values")).unwrap();
        let mut out = vec![f32::NAN; values.shape().iter().product()];
        match BlockFormat::ALL.into_iter().find(|f| f.name() == kind) {
            Some(format) => dequantize(format, raw.data(), &mut out),
            None if kind == "BF16" => bf16_to_f32(raw.data(), &mut out),
            None => panic!("the oracle has a format that the kernels lack: {kind}"),
        }
        let expected = values
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| u32::from_le_bytes(b));
        assert!(out.iter().map(|v| v.to_bits()).eq(expected), "{kind}");
        seen += 1;
    }
    assert_eq!(seen, BlockFormat::ALL.len() + 1, "every format and BF16");
}

#[test]
fn every_gguf_opens_and_its_weights_are_finite() {
    let Some(golden) = oracle() else { return };
    let mut seen = HashSet::new();
    for path in files(&golden.join("gguf-dev"), "gguf") {
        let checkpoint = Checkpoint::open(&path).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(checkpoint.format(), Format::Gguf);
        assert_eq!(checkpoint.file_bytes(), path.metadata().unwrap().len());
        let metadata = checkpoint.gguf().unwrap();
        let arch = metadata.str("general.architecture").unwrap();
        let hidden = metadata.u64(&format!("{arch}.embedding_length")).unwrap() as usize;
        let embedding = checkpoint.tensor("token_embd.weight").unwrap();
        let tokens = metadata.array("tokenizer.ggml.tokens").unwrap();
        assert_eq!(
            embedding.shape(),
            [tokens.len(), hidden],
            "{}",
            path.display()
        );
        assert_eq!(tokens.strings().unwrap().count(), tokens.len());
        for tensor in checkpoint.tensors() {
            seen.insert(tensor.ty());
            let values = tensor.to_vec();
            assert_eq!(values.len(), tensor.n_values());
            assert!(
                values.iter().all(|v| v.is_finite()),
                "{tensor:?} in {}",
                path.display()
            );
            assert!(
                values.iter().any(|v| *v != 0.0),
                "{tensor:?} in {}",
                path.display()
            );
        }
    }
    let blocks = seen
        .iter()
        .filter(|ty| matches!(ty, TensorType::Block(_)))
        .count();
    assert_eq!(
        blocks,
        BlockFormat::ALL.len(),
        "a file for every block format"
    );
}

#[test]
fn every_safetensors_folder_opens() {
    let Some(golden) = oracle() else { return };
    let mut n_folders = 0;
    for entry in std::fs::read_dir(&golden).unwrap() {
        let dir = entry.unwrap().path();
        if !dir.join("model.safetensors").exists() {
            continue;
        }
        n_folders += 1;
        let checkpoint = Checkpoint::open(&dir).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(checkpoint.format(), Format::Safetensors);
        assert!(
            checkpoint.config().unwrap()["model_type"].is_string(),
            "{}",
            dir.display()
        );
        compare(
            &checkpoint,
            &std::fs::read(dir.join("model.safetensors")).unwrap(),
        );
        let metadata = Checkpoint::open_metadata(&dir).unwrap();
        assert_eq!(metadata.config(), checkpoint.config());
        assert_eq!(metadata.tensors().count(), 0);
    }
    assert!(n_folders >= 28, "{n_folders} folders");
}

/// Every tensor is there with the same type, shape and bytes as the crate `safetensors` reads.
fn compare(checkpoint: &Checkpoint, file: &[u8]) {
    let reference = SafeTensors::deserialize(file).unwrap();
    assert_eq!(checkpoint.tensors().count(), reference.len());
    for (name, expected) in reference.iter() {
        let tensor = checkpoint.tensor(name).unwrap();
        assert_eq!(tensor.ty().name(), expected.dtype().to_string(), "{name}");
        assert_eq!(tensor.shape(), expected.shape(), "{name}");
        assert_eq!(tensor.bytes(), expected.data(), "{name}");
        assert!(tensor.to_vec().iter().all(|v| v.is_finite()), "{name}");
    }
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files: Vec<_> = entries
        .filter(|p| p.extension().is_some_and(|e| e == extension))
        .collect();
    assert!(!files.is_empty(), "{} holds no .{extension}", dir.display());
    files
}

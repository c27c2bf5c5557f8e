//! What the writer writes, read back.

use std::path::Path;

use ponder_kernels_cpu::BlockFormat;

use super::{FileWriter, Header, TensorInfo, header};
use crate::weights::gguf::Value;
use crate::weights::{Checkpoint, TensorType, WeightsError};

fn tensor(name: &str, shape: &[usize], ty: TensorType) -> TensorInfo {
    TensorInfo {
        name: name.to_owned(),
        shape: shape.to_vec(),
        ty,
    }
}

fn metadata() -> Vec<(String, Value)> {
    let texts = ["a".to_owned(), "ü €".to_owned(), String::new()];
    [
        ("general.architecture", Value::from("llama")),
        ("u32", Value::from(7u32)),
        ("f32", Value::from(-0.5f32)),
        ("bool", Value::from(true)),
        ("texts", Value::from(&texts[..])),
        ("i32s", Value::from(&[1, -2, 3][..])),
        ("f32s", Value::from(&[0.25f32][..])),
        ("bools", Value::from(&[true, false][..])),
        ("none", Value::from(&[] as &[i32])),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Sizes that need padding, one that needs none, an empty one, and a scalar.
fn tensors() -> Vec<TensorInfo> {
    vec![
        tensor("odd", &[3, 5], TensorType::F16),
        tensor("empty", &[0, 32], TensorType::F32),
        tensor("even", &[4, 2, 32], TensorType::Block(BlockFormat::Q8_0)),
        tensor("scalar", &[], TensorType::F32),
    ]
}

fn bytes_of(i: usize, n: u64) -> Vec<u8> {
    (0..n).map(|k| (k as usize * 31 + i * 7) as u8).collect()
}

fn write(path: &Path, overwrite: bool, chunk: usize) -> Result<u64, WeightsError> {
    let header = header(path, &metadata(), &tensors())?;
    let mut writer = FileWriter::create(path, overwrite, &header)?;
    for (i, n) in header.tensor_bytes.iter().enumerate() {
        for piece in bytes_of(i, *n).chunks(chunk) {
            writer.append(piece)?;
        }
    }
    writer.finish()
}

#[test]
fn files_come_back_whatever_the_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    for chunk in [1, 31, 64, 1000] {
        let size = write(&path, true, chunk).unwrap();
        assert_eq!(size, std::fs::metadata(&path).unwrap().len());
        assert!(size.is_multiple_of(32));
        let read = Checkpoint::open(&path).unwrap();
        let keys = read.gguf().unwrap();
        assert_eq!(keys.version(), 3);
        assert_eq!(keys.iter().count(), metadata().len());
        assert_eq!(keys.str("general.architecture").unwrap(), "llama");
        assert_eq!(keys.u64("u32").unwrap(), 7);
        assert_eq!(keys.f64("f32").unwrap(), -0.5);
        assert!(keys.bool("bool").unwrap());
        let texts: Vec<_> = keys.opt_strings("texts").unwrap().unwrap().collect();
        assert_eq!(texts, ["a".as_bytes(), "ü €".as_bytes(), b""]);
        assert_eq!(keys.opt_i64s("i32s").unwrap().unwrap(), [1, -2, 3]);
        assert_eq!(keys.opt_f32s("f32s").unwrap().unwrap(), [0.25]);
        let bools = keys.array("bools").unwrap().values();
        assert_eq!(
            bools.map(|v| v.as_bool()).collect::<Vec<_>>(),
            [Some(true), Some(false)]
        );
        assert!(keys.array("none").unwrap().is_empty());
        for (i, (info, tensor)) in tensors().iter().zip(read.tensors()).enumerate() {
            assert_eq!((tensor.name(), tensor.ty()), (info.name.as_str(), info.ty));
            assert_eq!(tensor.shape(), info.shape);
            assert_eq!(tensor.bytes(), bytes_of(i, info.n_bytes().unwrap()));
        }
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing but the file is left: {left:?}");
    }
}

/// Metadata that were read are written as they were: bytes that are no UTF-8, nested arrays.
#[test]
fn values_from_files_are_carried_over() {
    let mut file = header(Path::new("x"), &metadata(), &[]).unwrap().bytes;
    let at = file.windows(2).position(|w| w == "ü".as_bytes()).unwrap();
    file[at] = 0xff;
    let read = Checkpoint::from_bytes(file.clone()).unwrap();
    let keys = read.gguf().unwrap().iter();
    let carried: Vec<_> = keys
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    let again = header(Path::new("x"), &carried, &[]).unwrap().bytes;
    let again = Checkpoint::from_bytes(again).unwrap();
    let texts: Vec<_> = again
        .gguf()
        .unwrap()
        .opt_strings("texts")
        .unwrap()
        .unwrap()
        .collect();
    assert_eq!(texts[1][0], 0xff);
}

#[test]
fn files_are_not_overwritten_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::fs::write(&path, "precious").unwrap();
    let error = write(&path, false, 64).unwrap_err();
    assert!(matches!(error, WeightsError::Exists { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    write(&path, true, 64).unwrap();
    assert!(Checkpoint::open(&path).is_ok());
    let error = write(dir.path(), true, 64).unwrap_err().to_string();
    assert!(error.contains("it is a folder"), "{error}");
    let error = write(&dir.path().join("no/m.gguf"), true, 64).unwrap_err();
    assert!(
        error.to_string().contains("hint: make the folder first"),
        "{error}"
    );
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let header = header(&path, &metadata(), &tensors()).unwrap();
    let mut writer = FileWriter::create(&path, false, &header).unwrap();
    writer.append(&[1, 2, 3]).unwrap();
    let busy = FileWriter::create(&path, false, &header)
        .unwrap_err()
        .to_string();
    assert!(busy.contains("another program is writing"), "{busy}");
    drop(writer);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_says_so() {
    // What is written to this device never fits.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    std::os::unix::fs::symlink("/dev/full", dir.path().join("m.gguf.partial")).unwrap();
    let error = write(&path, false, 64).unwrap_err().to_string();
    assert!(error.contains("hint: free some space"), "{error}");
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let path = Path::new("m.gguf");
    let message = |tensors: &[TensorInfo]| header(path, &[], tensors).unwrap_err().to_string();
    let block = TensorType::Block(BlockFormat::Q4K);
    for (tensors, part) in [
        (vec![tensor("t", &[2, 255], block)], "whole blocks of 256"),
        (
            vec![tensor("t", &[usize::MAX, 2], TensorType::F32)],
            "memory's range",
        ),
        (
            vec![tensor("t", &[1; 5], TensorType::F32)],
            "at most 4 dimensions",
        ),
        (
            vec![tensor("t", &[1], TensorType::Bool)],
            "a type that GGUF has",
        ),
        (vec![tensor("", &[1], TensorType::F32)], "a name of 1 to"),
        (
            vec![tensor("t", &[1], TensorType::F32); 2],
            "each name once",
        ),
    ] {
        let error = message(&tensors);
        assert!(error.contains(part), "{error}");
    }
    let twice = [
        ("k".to_owned(), Value::from(1u32)),
        ("k".to_owned(), Value::from(2u32)),
    ];
    let error = header(path, &twice, &[]).unwrap_err().to_string();
    assert!(error.contains("each key once"), "{error}");
}

#[test]
fn sizes_add_up() {
    let header = header(Path::new("x"), &metadata(), &tensors()).unwrap();
    assert_eq!(header.tensor_bytes, [30, 0, 8 * 34, 4]);
    assert_eq!(Header::padding(30), 2);
    assert_eq!(
        header.file_bytes(),
        header.bytes.len() as u64 + 32 + 288 + 32
    );
}

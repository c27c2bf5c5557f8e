//! Opening models: what is found, what is read, and what errors say. All files are made here.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ponder_kernels_cpu::BlockFormat;
use ponder_runtime::weights::gguf::{Value, ValueKind};
use ponder_runtime::weights::{Checkpoint, Format, TensorType, WeightsError, float};
use ponder_tests::gguf_writer::GgufWriter;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn small() -> GgufWriter {
    GgufWriter::new()
        .str("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .f32("llama.rope.freq_base", 10_000.0)
        .bool("tokenizer.ggml.add_bos_token", true)
        .strings("tokenizer.ggml.tokens", &["<s>", "é", ""])
        .tensor_f32("norm", &[3], &[1.0, -2.0, 0.5])
        .tensor_f32(
            "stack",
            &[2, 2, 3],
            &std::array::from_fn::<f32, 12, _>(|i| i as f32),
        )
}

fn open(writer: &GgufWriter) -> Result<Checkpoint, WeightsError> {
    Checkpoint::from_bytes(writer.finish())
}

/// The error's line, which must not break over lines and must have a hint.
fn line(result: Result<Checkpoint, WeightsError>) -> String {
    let line = result.expect_err("an error").to_string();
    assert!(line.contains("; hint: ") && !line.contains('\n'), "{line}");
    line
}

#[test]
fn tensors_are_read_outermost_first() {
    let checkpoint = open(&small()).unwrap();
    assert_eq!(checkpoint.format(), Format::Gguf);
    assert_eq!(checkpoint.dir(), None);
    let stack = checkpoint.tensor("stack").unwrap();
    assert_eq!(
        (stack.shape(), stack.ty()),
        (&[2, 2, 3][..], TensorType::F32)
    );
    assert_eq!(
        (stack.n_rows(), stack.row_len(), stack.n_values()),
        (4, 3, 12)
    );
    let mut rows = [0.0; 6];
    stack.read_rows(1..3, &mut rows);
    assert_eq!(rows, [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    stack.read_rows(4..4, &mut []);
    let second = stack.slice_outer(1..2).unwrap();
    assert_eq!(second.shape(), [1, 2, 3]);
    assert_eq!(second.to_vec(), [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]);
    assert_eq!(second.slice_outer(1..1).unwrap().n_values(), 0);
    assert!(stack.slice_outer(1..3).is_err());
    assert_eq!(checkpoint.tensor("norm").unwrap().n_rows(), 1);
    let names: Vec<_> = checkpoint.tensors().map(|t| t.name().to_owned()).collect();
    assert_eq!(names, ["norm", "stack"]);
    assert!(checkpoint.tensor("output").is_none());
}

#[test]
fn a_tensor_outlives_its_checkpoint() {
    let bytes: Arc<[u8]> = small().finish().into();
    let tensor = Checkpoint::from_bytes(bytes)
        .unwrap()
        .tensor("norm")
        .unwrap();
    assert_eq!(tensor.to_vec(), [1.0, -2.0, 0.5]);
}

#[test]
fn quantized_rows_and_slices_keep_to_blocks() {
    let values: Vec<f32> = (0..4 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    let checkpoint = open(&GgufWriter::new().tensor_q8_0("w", &[4, 64], &values)).unwrap();
    let tensor = checkpoint.tensor("w").unwrap();
    assert_eq!(tensor.ty(), TensorType::Block(BlockFormat::Q8_0));
    let all = tensor.to_vec();
    for (got, expected) in all.iter().zip(&values) {
        assert!((got - expected).abs() < 0.005, "{got} {expected}");
    }
    let mut row = vec![0.0; 64];
    tensor.read_rows(2..3, &mut row);
    assert_eq!(row, all[128..192]);
    assert_eq!(tensor.slice_outer(2..3).unwrap().to_vec(), row);
}

#[test]
fn a_vector_of_blocks_is_not_cut_inside_one() {
    let checkpoint = open(&GgufWriter::new().tensor_q8_0("w", &[64], &[1.0; 64])).unwrap();
    let tensor = checkpoint.tensor("w").unwrap();
    assert_eq!(tensor.slice_outer(32..64).unwrap().n_values(), 32);
    let error = tensor.slice_outer(16..48).unwrap_err();
    assert!(error.to_string().contains("`w`"), "{error}");
}

#[test]
fn metadata_converts_between_whole_numbers_and_names_what_is_wrong() {
    let nested = [
        &9u32.to_le_bytes()[..],
        &2u64.to_le_bytes(),
        &[5, 0, 0, 0],
        &1u64.to_le_bytes(),
    ]
    .concat();
    let nested = [
        &nested[..],
        &7i32.to_le_bytes(),
        &[8, 0, 0, 0],
        &0u64.to_le_bytes(),
    ]
    .concat();
    let writer = small()
        .u16("u16", 7)
        .i32("negative", -7)
        .i32s("list", &[3, -4])
        .raw("nested", 9, &nested)
        .raw("u64", 10, &u64::MAX.to_le_bytes());
    let checkpoint = open(&writer).unwrap();
    let metadata = checkpoint.gguf().unwrap();
    assert_eq!(metadata.u64("u16").unwrap(), 7);
    assert_eq!(metadata.i64("negative").unwrap(), -7);
    assert_eq!(metadata.f64("u16").unwrap(), 7.0);
    assert_eq!(metadata.u64("u64").unwrap(), u64::MAX);
    assert_eq!(metadata.opt_u64("absent").unwrap(), None);
    assert_eq!(metadata.opt_i64s("list").unwrap(), Some(vec![3, -4]));
    assert!(metadata.bool("tokenizer.ggml.add_bos_token").unwrap());
    let tokens = metadata
        .opt_strings("tokenizer.ggml.tokens")
        .unwrap()
        .unwrap();
    assert_eq!(
        tokens.collect::<Vec<_>>(),
        ["<s>".as_bytes(), "é".as_bytes(), b""]
    );
    let lists: Vec<Value> = metadata.array("nested").unwrap().values().collect();
    assert_eq!(lists[0].as_array().unwrap().to_i64s(), Some(vec![7]));
    assert_eq!(lists[1].as_array().unwrap().kind(), ValueKind::String);
    for (key, expected, found) in [
        ("negative", "whole number that is not negative", "i32 -7"),
        ("general.architecture", "whole number", "string `llama`"),
        ("list", "whole number", "array of 2 i32 values"),
        ("absent", "the key", "none"),
    ] {
        let error = metadata.u64(key).unwrap_err().to_string();
        assert!(
            [key, expected, found]
                .iter()
                .all(|part| error.contains(part)),
            "{error}"
        );
    }
    assert!(metadata.i64("u64").is_err(), "too large for i64");
}

#[test]
fn gguf_errors_say_what_and_where() {
    let q4_k = |shape: &[usize]| GgufWriter::new().tensor("w", shape, 12, &[0; 144]);
    for (writer, parts) in [
        (
            GgufWriter::new().version(1),
            ["byte 4", "version 2 or 3", "version 1"],
        ),
        (
            GgufWriter::new().version(3 << 24),
            ["byte 4", "little-endian", "big-endian"],
        ),
        (
            GgufWriter::new().tensor("w", &[1], 99, &[]),
            ["`w`", "tensor type", "number 99"],
        ),
        (
            GgufWriter::new().tensor("w", &[1], 36, &[]),
            ["`w`", "number 36", "repacked"],
        ),
        (q4_k(&[128, 2]), ["`w`", "whole blocks of 256", "[2, 128]"]),
        (
            q4_k(&[1 << 40, 1 << 40, 0]),
            ["`w`", "memory's range", "1099511627776"],
        ),
        (
            q4_k(&[1, 1, 1, 1, 256]),
            ["`w`", "at most 4 dimensions", "5"],
        ),
        (q4_k(&[2, 256]), ["`w`", "a file of", "144 too few"]),
        (
            small().u32("a", 1).u32("a", 2),
            ["byte", "each key once", "`a`"],
        ),
        (
            small().tensor_f32("norm", &[1], &[0.0]),
            ["`norm`", "each name once", "second"],
        ),
        (
            small().alignment(24).tensor_f32("a", &[1], &[0.0]),
            ["alignment", "power of two", "24"],
        ),
        (
            small().raw("k", 13, &[]),
            ["byte", "kind of value for `k`", "number 13"],
        ),
        (
            small().raw(
                "k",
                9,
                &[8, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
            ),
            ["byte", "k", "end of the file"],
        ),
    ] {
        let line = line(open(&writer));
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
}

#[test]
fn split_models_open_from_any_shard() {
    let dir = tempfile::tempdir().unwrap();
    let shard = |number: u16, value: f32| {
        GgufWriter::new()
            .u16("split.no", number)
            .u16("split.count", 3)
            .i32("split.tensors.count", 3)
            .tensor_f32(&format!("t{number}"), &[1], &[value])
    };
    let path = |number: u16| dir.path().join(format!("m-{number:05}-of-00003.gguf"));
    fs::write(path(1), shard(0, 1.0).str("general.name", "split").finish()).unwrap();
    fs::write(path(2), shard(1, 2.0).finish()).unwrap();
    let error = line(Checkpoint::open(&path(2)));
    assert!(
        error.contains("m-00003-of-00003.gguf: shard 3 of 3"),
        "{error}"
    );
    fs::write(path(3), shard(2, 3.0).finish()).unwrap();
    for opened in [&path(1), &path(3), dir.path()] {
        let checkpoint = Checkpoint::open(opened).unwrap();
        assert_eq!(
            checkpoint.gguf().unwrap().str("general.name").unwrap(),
            "split"
        );
        let values: Vec<_> = checkpoint.tensors().flat_map(|t| t.to_vec()).collect();
        assert_eq!(values, [1.0, 2.0, 3.0]);
        let metadata = Checkpoint::open_metadata(opened).unwrap();
        assert_eq!(
            metadata.gguf().unwrap().str("general.name").unwrap(),
            "split"
        );
        assert_eq!(metadata.tensors().count(), 0);
    }
    fs::write(path(3), shard(1, 3.0).finish()).unwrap();
    let error = line(Checkpoint::open(&path(1)));
    assert!(
        error.contains("NAME-00002-of-00003.gguf, as its metadata says"),
        "{error}"
    );
}

fn safetensors(tensors: &[(&str, Dtype, Vec<usize>, &[u8])]) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

fn error_of(dir: &Path) -> String {
    line(Checkpoint::open(dir))
}

#[test]
fn every_plain_type_converts() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("config.json"),
        r#"{"limit": [0, Infinity]}"#,
    )
    .unwrap();
    let one = |dtype, bytes: &'static [u8]| (dtype, bytes);
    let cases = [
        one(Dtype::F64, &[0, 0, 0, 0, 0, 0, 0, 0xc0]),
        one(Dtype::I64, &[0xfe, 255, 255, 255, 255, 255, 255, 255]),
        one(Dtype::F32, &[0, 0, 0, 0xc0]),
        one(Dtype::I32, &[0xfe, 255, 255, 255]),
        one(Dtype::BF16, &[0, 0xc0]),
        one(Dtype::F16, &[0, 0xc0]),
        one(Dtype::I16, &[0xfe, 255]),
        one(Dtype::I8, &[0xfe]),
    ];
    let names: Vec<_> = cases.iter().map(|(dtype, _)| dtype.to_string()).collect();
    let tensors: Vec<_> = names
        .iter()
        .zip(cases)
        .map(|(name, (dtype, b))| (name.as_str(), dtype, vec![1], b))
        .collect();
    fs::write(dir.path().join("model.safetensors"), safetensors(&tensors)).unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.format(), Format::Safetensors);
    assert_eq!(
        float(&checkpoint.config().unwrap()["limit"][1]),
        Some(f64::INFINITY)
    );
    for name in &names {
        let tensor = checkpoint.tensor(name).unwrap();
        assert_eq!(
            (tensor.ty().name(), tensor.to_vec()),
            (name.as_str(), vec![-2.0])
        );
    }
}

#[test]
fn sharded_folders_open_and_stay_in_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let index = |a: &str, b: &str| format!(r#"{{"weight_map": {{"a": "{a}", "b": "{b}"}}}}"#);
    fs::write(at("config.json"), "{}").unwrap();
    let (one, two) = (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    );
    fs::write(at("model.safetensors.index.json"), index(one, two)).unwrap();
    fs::write(at(one), safetensors(&[("a", Dtype::U8, vec![2], &[1, 2])])).unwrap();
    assert!(error_of(dir.path()).contains("no such file"));
    fs::write(at(two), safetensors(&[("b", Dtype::U8, vec![], &[3])])).unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.tensor("a").unwrap().to_vec(), [1.0, 2.0]);
    let scalar = checkpoint.tensor("b").unwrap();
    assert_eq!(
        (scalar.to_vec(), scalar.n_rows(), scalar.row_len()),
        (vec![3.0], 1, 1)
    );
    assert!(scalar.slice_outer(0..1).is_err());

    fs::write(at("model.safetensors.index.json"), index(two, one)).unwrap();
    assert!(error_of(dir.path()).contains("different versions"));
    for outside in [
        "../x.safetensors",
        "/etc/passwd",
        "a/b",
        "..",
        ".",
        "a\\\\b",
        "",
    ] {
        fs::write(at("model.safetensors.index.json"), index(one, outside)).unwrap();
        let error = error_of(dir.path());
        assert!(
            error.contains("files in the same folder"),
            "{outside}: {error}"
        );
    }
}

#[test]
fn safetensors_errors_say_what_and_where() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    let whole = safetensors(&[("a", Dtype::F32, vec![2], &[0; 8])]);
    let with_header = |json: &str, data: &[u8]| {
        [
            &(json.len() as u64).to_le_bytes()[..],
            json.as_bytes(),
            data,
        ]
        .concat()
    };
    for (bytes, part) in [
        (whole[..whole.len() - 3].to_vec(), "3 too few"),
        (whole[..20].to_vec(), "before the end of the file"),
        (whole[..4].to_vec(), "8 bytes of length"),
        ([&whole[..], &[0]].concat(), "8 bytes, as its header says"),
        (
            [&u64::MAX.to_le_bytes()[..], &whole[8..]].concat(),
            "at most 33554432 bytes",
        ),
        (with_header("{", &[]), "a JSON object of tensors"),
        (
            with_header(
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,8]}}"#,
                &[0; 8],
            ),
            "fit their offsets",
        ),
        (
            with_header(
                r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
                &[0; 8],
            ),
            "fit their offsets",
        ),
        (
            with_header(r#"{"a":{"dtype":"a\nb"}}"#, &[]),
            "unknown variant `a b`",
        ),
        (
            with_header(
                r#"{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}"#,
                &[0],
            ),
            "F8_E5M2",
        ),
        (
            with_header(
                r#"{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#,
                &[0],
            ),
            "more than 16 dimensions",
        ),
        (
            with_header(
                r#"{"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}"#,
                &[],
            ),
            "memory's range",
        ),
    ] {
        fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
        let error = error_of(dir.path());
        assert!(
            error.contains(part) && error.contains("model.safetensors"),
            "{part}: {error}"
        );
    }
}

#[test]
fn folders_without_one_model_say_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(error_of(dir.path()).contains("an empty folder"));
    assert!(error_of(&at("nothing")).contains("nothing"));
    fs::write(at("notes.txt"), "some text").unwrap();
    assert!(error_of(dir.path()).contains("notes.txt"));
    assert!(error_of(&at("notes.txt")).contains("starts with `some`"));
    fs::write(at("config.json"), "{}").unwrap();
    assert!(error_of(dir.path()).contains("config.json, notes.txt"));
    assert!(Checkpoint::open_metadata(dir.path()).is_ok());
    fs::write(at("a.gguf"), small().finish()).unwrap();
    fs::write(at("mmproj-a.gguf"), "the image part").unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(
        (checkpoint.format(), checkpoint.dir()),
        (Format::Gguf, Some(dir.path()))
    );
    fs::write(at("b.gguf"), small().finish()).unwrap();
    assert!(error_of(dir.path()).contains("one GGUF model"));
}

#[test]
fn metadata_opens_where_weights_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cut.gguf");
    let bytes = small().finish();
    fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
    assert!(line(Checkpoint::open(&path)).contains("10 too few"));
    let metadata = Checkpoint::open_metadata(&path).unwrap();
    assert_eq!(
        metadata.gguf().unwrap().u64("llama.block_count").unwrap(),
        2
    );
}

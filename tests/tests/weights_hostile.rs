//! Files that lie. Whatever their bytes say, opening a model ends soon, without a panic, and
//! without allocating more than the file's size plus a constant.

use std::fs;
use std::time::{Duration, Instant};

use ponder_runtime::weights::gguf::Value;
use ponder_runtime::weights::{Checkpoint, WeightsError};
use ponder_tests::gguf_writer::GgufWriter;
use proptest::prelude::*;

/// What opening may take beyond the file's own size: tables, paths, messages.
const ALLOWANCE: usize = 256 << 10;
/// Generous, because test machines are busy; what it catches is a loop over a count that lies.
const LONGEST: Duration = Duration::from_secs(5);

/// Opens `len` bytes by `open`, uses all that came of it, and checks the bounds.
fn check(len: usize, open: impl FnOnce() -> Result<Checkpoint, WeightsError>) {
    let start = Instant::now();
    let mut result = None;
    let peak = allocation_counter::measure(|| result = Some(open())).bytes_max;
    assert!(
        peak <= (2 * len + ALLOWANCE) as u64,
        "{peak} bytes allocated for a file of {len}"
    );
    match result.expect("just opened") {
        Ok(checkpoint) => use_everything(&checkpoint),
        Err(error) => {
            let line = error.to_string();
            assert!(line.contains("; hint: ") && !line.contains('\n'), "{line}");
        }
    }
    assert!(
        start.elapsed() < LONGEST,
        "{:?} for {len} bytes",
        start.elapsed()
    );
}

fn use_everything(checkpoint: &Checkpoint) {
    for tensor in checkpoint.tensors() {
        // A tensor lies in the file, so its values are bounded by the file's size, too.
        assert_eq!(tensor.to_vec().len(), tensor.n_values());
        if let Some(&outer) = tensor.shape().first() {
            let half = tensor.slice_outer(0..outer / 2);
            assert!(half.is_err() || half.is_ok_and(|t| t.n_values() <= tensor.n_values()));
        }
    }
    for (key, value) in checkpoint.gguf().into_iter().flat_map(|m| m.iter()) {
        assert!(!key.is_empty());
        walk(value);
    }
}

fn walk(value: &Value) {
    if let Value::Array(array) = value {
        assert_eq!(array.values().count(), array.len());
        assert!(array.strings().is_none_or(|s| s.count() == array.len()));
        array.values().for_each(|v| walk(&v));
    }
}

fn gguf() -> Vec<u8> {
    let nested = [
        &9u32.to_le_bytes()[..],
        &1u64.to_le_bytes(),
        &[8, 0, 0, 0],
        &1u64.to_le_bytes(),
    ]
    .concat();
    let nested = [&nested[..], &2u64.to_le_bytes(), b"hi"].concat();
    GgufWriter::new()
        .str("general.architecture", "llama")
        .alignment(32)
        .u32("llama.block_count", 1)
        .f32("f", 1.5)
        .bool("b", true)
        .strings("tokens", &["a", "bc", ""])
        .i32s("types", &[1, 2, 3])
        .raw("nested", 9, &nested)
        .raw("u64", 10, &[1; 8])
        .tensor_f32("norm", &[4], &[1.0; 4])
        .tensor_q8_0("w", &[2, 32], &[0.5; 64])
        .finish()
}

const SAFETENSORS_HEADER: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}"#;

fn safetensors() -> Vec<u8> {
    let len = SAFETENSORS_HEADER.len() as u64;
    [
        &len.to_le_bytes()[..],
        SAFETENSORS_HEADER.as_bytes(),
        &[0x3f; 22],
    ]
    .concat()
}

const CONFIG: &str = r#"{"model_type":"llama","rope":{"theta":1e4,"limit":[0.0,{"__float__":"Infinity"},NaN]},"names":["a\"b",null,true]}"#;
const INDEX: &str =
    r#"{"metadata":{"total_size":22},"weight_map":{"a":"m1.safetensors","b":"m1.safetensors"}}"#;

fn check_gguf(bytes: &[u8]) {
    let memory: std::sync::Arc<[u8]> = bytes.into();
    check(bytes.len(), || Checkpoint::from_bytes(memory));
}

/// A folder of which one file is hostile.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(indexed: bool) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("config.json", CONFIG.as_bytes());
        if indexed {
            folder.write("model.safetensors.index.json", INDEX.as_bytes());
            folder.write("m1.safetensors", &safetensors());
        } else {
            folder.write("model.safetensors", &safetensors());
        }
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn check(&self, name: &str, bytes: &[u8]) {
        self.write(name, bytes);
        check(bytes.len(), || Checkpoint::open(self.0.path()));
    }
}

#[test]
fn the_seeds_themselves_open() {
    Checkpoint::from_bytes(gguf()).unwrap();
    Checkpoint::open(Folder::new(false).0.path()).unwrap();
    Checkpoint::open(Folder::new(true).0.path()).unwrap();
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = gguf();
    for len in 0..bytes.len() {
        check_gguf(&bytes[..len]);
        assert!(
            Checkpoint::from_bytes(bytes[..len].to_vec()).is_err(),
            "{len}"
        );
    }
    let (folder, bytes) = (Folder::new(false), safetensors());
    for len in 0..bytes.len() {
        folder.check("model.safetensors", &bytes[..len]);
        assert!(Checkpoint::open(folder.0.path()).is_err(), "{len}");
    }
}

/// Numbers that overflow, turn negative, or ask for all memory.
const EXTREMES: [u64; 9] = [
    0,
    1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

#[test]
fn extreme_numbers_at_every_place() {
    let (gguf, safetensors) = (gguf(), safetensors());
    let folder = Folder::new(false);
    for extreme in EXTREMES.map(u64::to_le_bytes) {
        for width in [4, 8] {
            for at in 0..gguf.len() - width {
                let mut bytes = gguf.clone();
                bytes[at..at + width].copy_from_slice(&extreme[..width]);
                check_gguf(&bytes);
            }
        }
        let mut bytes = safetensors.clone();
        bytes[..8].copy_from_slice(&extreme);
        folder.check("model.safetensors", &bytes);
    }
}

#[test]
fn extreme_numbers_in_json() {
    let folder = Folder::new(false);
    let header = SAFETENSORS_HEADER;
    let digits = header.char_indices().filter(|(_, c)| c.is_ascii_digit());
    for (at, _) in digits {
        for extreme in EXTREMES {
            let json = format!("{}{extreme}{}", &header[..at], &header[at + 1..]);
            let len = (json.len() as u64).to_le_bytes();
            folder.check(
                "model.safetensors",
                &[&len, json.as_bytes(), &[0; 22]].concat(),
            );
        }
    }
}

#[test]
fn deep_and_wide_structures_stay_small() {
    // Arrays of arrays of arrays, each of a single one, far deeper than a stack is.
    let level = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat();
    check_gguf(
        &GgufWriter::new()
            .raw("deep", 9, &level.repeat(100_000))
            .finish(),
    );
    // Many empty strings, and many empty arrays.
    let wide = [
        &8u32.to_le_bytes()[..],
        &100_000u64.to_le_bytes(),
        &[0; 800_000],
    ]
    .concat();
    check_gguf(&GgufWriter::new().raw("wide", 9, &wide).finish());
    let empty = [0; 12].repeat(100_000);
    let arrays = [&9u32.to_le_bytes()[..], &100_000u64.to_le_bytes(), &empty].concat();
    check_gguf(&GgufWriter::new().raw("arrays", 9, &arrays).finish());
    let folder = Folder::new(false);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let json = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        folder.check("config.json", json.as_bytes());
        let len = (json.len() as u64).to_le_bytes();
        folder.check("model.safetensors", &[&len, json.as_bytes()].concat());
    }
}

#[test]
fn files_that_are_no_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    check(0, || Checkpoint::open(dir.path()));
    check(0, || Checkpoint::open(std::path::Path::new("/dev/zero")));
}

#[derive(Debug, Clone)]
enum Change {
    Flip {
        at: prop::sample::Index,
        bit: u8,
    },
    Number {
        at: prop::sample::Index,
        value: usize,
        width: usize,
    },
    Cut {
        from: prop::sample::Index,
        len: usize,
    },
    Repeat {
        from: prop::sample::Index,
        len: usize,
    },
    End {
        at: prop::sample::Index,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Change::Flip { at, bit }),
        3 => (at(), 0..EXTREMES.len(), prop::sample::select(vec![1, 2, 4, 8]))
            .prop_map(|(at, value, width)| Change::Number { at, value, width }),
        1 => (at(), 1..40usize).prop_map(|(from, len)| Change::Cut { from, len }),
        1 => (at(), 1..40usize).prop_map(|(from, len)| Change::Repeat { from, len }),
        1 => at().prop_map(|at| Change::End { at }),
    ]
}

fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match change {
            Change::Flip { at, bit } => bytes[at.index(len)] ^= 1 << bit,
            Change::Number { at, value, width } => {
                let at = at.index(len);
                let end = (at + width).min(len);
                bytes[at..end].copy_from_slice(&EXTREMES[*value].to_le_bytes()[..end - at]);
            }
            Change::Cut { from, len: n } => {
                let from = from.index(len);
                bytes.drain(from..(from + n).min(len));
            }
            Change::Repeat { from, len: n } => {
                let from = from.index(len);
                let part = bytes[from..(from + n).min(len)].to_vec();
                bytes.splice(from..from, part);
            }
            Change::End { at } => bytes.truncate(at.index(len)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_gguf_files(changes in prop::collection::vec(change(), 1..12)) {
        check_gguf(&changed(gguf(), &changes));
    }

    #[test]
    fn random_bytes_behind_a_gguf_magic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check_gguf(&[b"GGUF\x03\0\0\0", &bytes[..]].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_safetensors_files(changes in prop::collection::vec(change(), 1..12)) {
        Folder::new(false).check("model.safetensors", &changed(safetensors(), &changes));
    }

    #[test]
    fn changed_configurations(changes in prop::collection::vec(change(), 1..12)) {
        Folder::new(false).check("config.json", &changed(CONFIG.into(), &changes));
    }

    #[test]
    fn changed_indices(changes in prop::collection::vec(change(), 1..12)) {
        Folder::new(true).check("model.safetensors.index.json", &changed(INDEX.into(), &changes));
    }
}

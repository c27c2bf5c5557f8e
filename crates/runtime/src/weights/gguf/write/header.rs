//! The header: metadata and the list of tensors.

use std::collections::HashSet;
use std::path::Path;

use crate::weights::error::{Fault, Result, WeightsError, quoted};
use crate::weights::gguf::parse::{
    DEFAULT_ALIGNMENT, LONGEST_KEY, LONGEST_NAME, MAGIC, MOST_DIMS, MOST_KEYS, MOST_TENSORS,
};
use crate::weights::gguf::tensor_types::type_number;
use crate::weights::gguf::{Value, ValueKind};
use crate::weights::tensor::TensorType;

/// The version of the format that is written.
const VERSION: u32 = 3;
/// The hint for a model that the format has no place for.
const NO_PLACE: &str = "the model does not fit into a GGUF file; keep it in its own format";

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// How its values are stored.
    pub ty: TensorType,
}

impl TensorInfo {
    /// The bytes of the tensor; `None` if its rows are no whole blocks or it is too large.
    #[must_use]
    pub fn n_bytes(&self) -> Option<u64> {
        self.ty.bytes_for(self.shape.last().copied().unwrap_or(1))?;
        let n_values = self
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))?;
        self.ty.bytes_for(n_values).map(|n| n as u64)
    }
}

/// The bytes that a file begins with, and the sizes of what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Up to where the first tensor begins, padding included.
    pub bytes: Vec<u8>,
    /// The bytes of each tensor, in order.
    pub tensor_bytes: Vec<u64>,
}

impl Header {
    /// How many bytes follow a tensor of `n_bytes`, so that the next one begins where it must.
    #[must_use]
    pub fn padding(n_bytes: u64) -> u64 {
        n_bytes.next_multiple_of(DEFAULT_ALIGNMENT) - n_bytes
    }

    /// The size of the whole file. The last tensor is padded like all others, as the tools that
    /// check files want it.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        let padded = self.tensor_bytes.iter().map(|n| n + Self::padding(*n));
        self.bytes.len() as u64 + padded.sum::<u64>()
    }
}

/// Lays out a file with these keys and tensors, aligned to the format's default of 32 bytes.
/// `path` is for errors only.
///
/// # Errors
/// If the format cannot hold a tensor (too many dimensions, a type it lacks, rows that are no
/// whole blocks), if names or keys occur twice or are too long, or if there are too many.
pub fn header(path: &Path, metadata: &[(String, Value)], tensors: &[TensorInfo]) -> Result<Header> {
    check_keys(path, metadata)?;
    check_count(path, "tensors", tensors.len(), MOST_TENSORS)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((tensors.len() as u64).to_le_bytes());
    bytes.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put_string(&mut bytes, key.as_bytes());
        put_kind(&mut bytes, value.kind());
        put_value(&mut bytes, value);
    }
    let mut names = HashSet::new();
    let mut tensor_bytes = Vec::with_capacity(tensors.len());
    let mut offset = 0u64;
    for tensor in tensors {
        let (number, n_bytes) = check_tensor(path, tensor)?;
        if !names.insert(tensor.name.as_str()) {
            return Err(fault(
                path,
                &tensor.name,
                "each name once",
                "a second tensor",
            ));
        }
        put_string(&mut bytes, tensor.name.as_bytes());
        bytes.extend((tensor.shape.len() as u32).to_le_bytes());
        for dim in tensor.shape.iter().rev() {
            bytes.extend((*dim as u64).to_le_bytes());
        }
        bytes.extend(number.to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        offset = offset
            .checked_add(n_bytes)
            .and_then(|end| end.checked_next_multiple_of(DEFAULT_ALIGNMENT))
            .ok_or_else(|| fault(path, &tensor.name, "a file of less than 2^64 bytes", "more"))?;
        tensor_bytes.push(n_bytes);
    }
    let padding = Header::padding(bytes.len() as u64) as usize;
    bytes.resize(bytes.len() + padding, 0);
    Ok(Header {
        bytes,
        tensor_bytes,
    })
}

fn check_keys(path: &Path, metadata: &[(String, Value)]) -> Result<()> {
    check_count(path, "keys", metadata.len(), MOST_KEYS)?;
    let mut keys = HashSet::new();
    for (key, _) in metadata {
        if key.is_empty() || key.len() > LONGEST_KEY {
            let expected = format!("1 to {LONGEST_KEY} bytes");
            return Err(unsupported(path, "a key".into(), expected, key.len()));
        }
        if !keys.insert(key.as_str()) {
            let place = format!("key {}", quoted(key.as_bytes()));
            return Err(unsupported(
                path,
                place,
                "each key once".into(),
                "a second one",
            ));
        }
    }
    Ok(())
}

fn check_count(path: &Path, what: &str, n: usize, most: u64) -> Result<()> {
    if n as u64 <= most {
        return Ok(());
    }
    Err(unsupported(path, what.into(), format!("at most {most}"), n))
}

/// The number of the tensor's type, and its bytes.
fn check_tensor(path: &Path, tensor: &TensorInfo) -> Result<(u32, u64)> {
    let fault = |expected: String, found: String| fault(path, &tensor.name, &expected, &found);
    if tensor.name.is_empty() || tensor.name.len() > LONGEST_NAME {
        let expected = format!("a name of 1 to {LONGEST_NAME} bytes");
        return Err(fault(expected, format!("{} bytes", tensor.name.len())));
    }
    if tensor.shape.len() > MOST_DIMS as usize {
        let expected = format!("at most {MOST_DIMS} dimensions");
        return Err(fault(expected, format!("{:?}", tensor.shape)));
    }
    let number = type_number(tensor.ty)
        .ok_or_else(|| fault("a type that GGUF has".into(), tensor.ty.to_string()))?;
    let n_bytes = tensor.n_bytes().ok_or_else(|| {
        let expected = format!(
            "{} rows of whole blocks of {}, in memory's range",
            tensor.ty,
            tensor.ty.block_len()
        );
        fault(expected, format!("dimensions {:?}", tensor.shape))
    })?;
    Ok((number, n_bytes))
}

fn fault(path: &Path, tensor: &str, expected: &str, found: &str) -> WeightsError {
    let place = format!("tensor {}", quoted(tensor.as_bytes()));
    unsupported(path, place, expected.to_owned(), found)
}

fn unsupported(
    path: &Path,
    place: String,
    expected: String,
    found: impl std::fmt::Display,
) -> WeightsError {
    let fault = Fault::new(path, place, expected, found.to_string(), NO_PLACE);
    WeightsError::Unsupported(fault)
}

pub(super) fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
}

fn put_kind(out: &mut Vec<u8>, kind: ValueKind) {
    out.extend(kind.number().to_le_bytes());
}

/// A value without its kind.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(v) => out.push(*v),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push(u8::from(*v)),
        Value::String(text) => put_string(out, text.as_bytes()),
        Value::Array(array) => {
            put_kind(out, array.kind());
            out.extend((array.len() as u64).to_le_bytes());
            // Elements are kept as files have them.
            out.extend(array.elements.bytes());
        }
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
    }
}

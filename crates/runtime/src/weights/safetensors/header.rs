//! The header of one safetensors file: eight bytes of length, then JSON.
//!
//! The format: <https://github.com/huggingface/safetensors#format>.

use std::fmt;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::weights::error::{DAMAGED, Fault, INCOMPLETE, Result, WeightsError, quoted};
use crate::weights::source::{Source, Span};
use crate::weights::tensor::{MappedTensor, TensorType};

/// More than any real header has, of which the largest are a few megabytes. It bounds what a
/// hostile header can allocate.
const LONGEST_HEADER: u64 = 32 << 20;
/// More dimensions than any tensor has.
const MOST_DIMS: usize = 16;

/// The tensors of one file, in the order in which they lie there.
pub(super) fn parse(source: &Arc<Source>) -> Result<Vec<MappedTensor>> {
    let bytes = source.bytes();
    let (json, data_start) = header_json(source)?;
    let header: Header = serde_json::from_slice(json)
        .map_err(|e| malformed(source, "header", "a JSON object of tensors", e.to_string()))?;
    let Header(mut entries) = header;
    entries.sort_by_key(|(_, info)| info.data_offsets);
    check_length(source, &entries, bytes.len() - data_start)?;
    // The crate checks that the tensors lie one behind the other and have the sizes of their
    // shapes.
    let header = Metadata::new(None, entries.clone()).map_err(|e| {
        malformed(
            source,
            "header",
            "tensors that fit their offsets",
            e.to_string(),
        )
    })?;
    debug_assert_eq!(header.data_len(), bytes.len() - data_start);
    let tensor = |(name, info): &(String, TensorInfo)| mapped(source, name, info, data_start);
    entries.iter().map(tensor).collect()
}

/// The bytes of the header and where the data starts.
fn header_json(source: &Source) -> Result<(&[u8], usize)> {
    let bytes = source.bytes();
    let Some((len, rest)) = bytes.split_first_chunk() else {
        let found = format!("{} bytes", bytes.len());
        return Err(truncated(source, "header", "8 bytes of length", found));
    };
    let len = u64::from_le_bytes(*len);
    if len > LONGEST_HEADER {
        let expected = format!("at most {LONGEST_HEADER} bytes");
        return Err(malformed(source, "header", expected, len.to_string()));
    }
    let json = usize::try_from(len).ok().and_then(|len| rest.get(..len));
    json.map(|json| (json, 8 + json.len())).ok_or_else(|| {
        let found = format!("{} before the end of the file", rest.len());
        truncated(source, "header", format!("{len} bytes"), found)
    })
}

/// Compares the file's length with what the header says.
fn check_length(source: &Source, entries: &[(String, TensorInfo)], data_len: usize) -> Result<()> {
    let Some((name, last)) = entries.iter().max_by_key(|(_, info)| info.data_offsets.1) else {
        return match data_len {
            0 => Ok(()),
            n => Err(malformed(
                source,
                "data",
                "none, as its header says",
                format!("{n} bytes"),
            )),
        };
    };
    let needed = last.data_offsets.1;
    if needed > data_len {
        return Err(truncated(
            source,
            &format!("tensor {}", quoted(name.as_bytes())),
            format!("{needed} bytes of data, as its header says"),
            format!("{data_len}, {} too few", needed - data_len),
        ));
    }
    if needed < data_len {
        let expected = format!("{needed} bytes, as its header says");
        return Err(malformed(source, "data", expected, data_len.to_string()));
    }
    Ok(())
}

fn mapped(
    source: &Arc<Source>,
    name: &str,
    info: &TensorInfo,
    data_start: usize,
) -> Result<MappedTensor> {
    let place = || format!("tensor {}", quoted(name.as_bytes()));
    let ty = tensor_type(info.dtype).ok_or_else(|| {
        WeightsError::Unsupported(Fault::new(
            source.path(),
            place(),
            "a type that this program reads (F32, F16, BF16, F8_E4M3, F64, whole numbers)",
            format!("{}", info.dtype),
            "use the model's BF16 weights or a GGUF file of it",
        ))
    })?;
    // The crate multiplied the dimensions in order; a zero must not hide an overflow behind it.
    let product = info
        .shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
    let (start, end) = info.data_offsets;
    let data = Span::new(source, data_start + start, end - start);
    match (product, data) {
        (Some(_), Some(data)) => Ok(MappedTensor::new(name.into(), ty, &info.shape, data)),
        _ => Err(malformed(
            source,
            place(),
            "a shape in memory's range",
            format!("{:?}", info.shape),
        )),
    }
}

fn tensor_type(dtype: Dtype) -> Option<TensorType> {
    Some(match dtype {
        Dtype::BOOL => TensorType::Bool,
        Dtype::U8 => TensorType::U8,
        Dtype::I8 => TensorType::I8,
        Dtype::U16 => TensorType::U16,
        Dtype::I16 => TensorType::I16,
        Dtype::F16 => TensorType::F16,
        Dtype::BF16 => TensorType::BF16,
        Dtype::F8_E4M3 => TensorType::F8E4M3,
        Dtype::U32 => TensorType::U32,
        Dtype::I32 => TensorType::I32,
        Dtype::F32 => TensorType::F32,
        Dtype::U64 => TensorType::U64,
        Dtype::I64 => TensorType::I64,
        Dtype::F64 => TensorType::F64,
        _ => return None,
    })
}

fn malformed(
    source: &Source,
    place: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> WeightsError {
    WeightsError::Malformed(Fault::new(source.path(), place, expected, found, DAMAGED))
}

fn truncated(
    source: &Source,
    place: &str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> WeightsError {
    WeightsError::Truncated(Fault::new(
        source.path(),
        place,
        expected,
        found,
        INCOMPLETE,
    ))
}

/// The header's JSON. Deserialized entry by entry: the crate's own way would first hold the whole
/// of it as a tree.
struct Header(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Entry {
                dtype,
                shape: Shape(shape),
                data_offsets,
            } = map.next_value()?;
            entries.push((
                name,
                TensorInfo {
                    dtype,
                    shape,
                    data_offsets,
                },
            ));
        }
        Ok(Header(entries))
    }
}

#[derive(serde::Deserialize)]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: (usize, usize),
}

/// Dimensions, of which there cannot be many.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut shape = Vec::new();
        while let Some(dim) = seq.next_element()? {
            if shape.len() == MOST_DIMS {
                return Err(A::Error::custom(format_args!(
                    "more than {MOST_DIMS} dimensions"
                )));
            }
            shape.push(dim);
        }
        Ok(Shape(shape))
    }
}

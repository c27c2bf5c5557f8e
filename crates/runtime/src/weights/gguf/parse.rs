//! One walk over a GGUF header.
//!
//! Nothing is allocated in proportion to a number in the file: keys and tensors are capped, and
//! everything larger stays in the mapping.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cursor::Cursor;
use super::metadata::Metadata;
use super::tensor_types::tensor_type;
use super::value::{Array, Value, ValueKind};
use crate::weights::error::{DAMAGED, Fault, INCOMPLETE, Result, WeightsError, quoted};
use crate::weights::source::{Source, Span};
use crate::weights::tensor::{MappedTensor, TensorType};

/// The first four bytes of every GGUF file.
pub(in crate::weights) const MAGIC: &[u8; 4] = b"GGUF";

/// Far more keys than any converter writes (about 50).
pub(super) const MOST_KEYS: u64 = 1 << 16;
/// Far more tensors than any model has in one file (a few thousand).
pub(super) const MOST_TENSORS: u64 = 1 << 16;
/// The format's limit for keys.
pub(super) const LONGEST_KEY: usize = 65_535;
/// Longer than any tensor's name; the format says 64, and files with longer ones exist.
pub(super) const LONGEST_NAME: usize = 256;
/// The format's limit.
pub(super) const MOST_DIMS: u32 = 4;
/// What tensors are aligned to where `general.alignment` does not say.
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;

/// Reads the metadata alone; the tensors may be missing.
pub(super) fn parse_metadata(source: &Arc<Source>) -> Result<Metadata> {
    let mut cursor = Cursor::new(source);
    let header = read_header(&mut cursor)?;
    read_metadata(&mut cursor, source, &header)
}

/// Reads metadata and the list of tensors, and checks that all of them lie in the file.
pub(in crate::weights) fn parse(source: &Arc<Source>) -> Result<(Metadata, Vec<MappedTensor>)> {
    let mut cursor = Cursor::new(source);
    let header = read_header(&mut cursor)?;
    let metadata = read_metadata(&mut cursor, source, &header)?;
    let alignment = alignment(&metadata)?;
    // A tensor takes at least a name's length, a name, and four fixed fields.
    let capacity = header.n_tensors.min(cursor.remaining() as u64 / 25);
    let mut infos = Vec::with_capacity(usize::try_from(capacity).unwrap_or(0));
    for _ in 0..header.n_tensors {
        infos.push(read_info(&mut cursor, source, alignment)?);
    }
    let tensors = place(source, &infos, cursor.at() as u64, alignment)?;
    Ok((metadata, tensors))
}

struct Header {
    version: u32,
    n_tensors: u64,
    n_keys: u64,
}

fn read_header(cursor: &mut Cursor<'_>) -> Result<Header> {
    let magic: [u8; 4] = cursor.array("magic number")?;
    if magic != *MAGIC {
        return Err(cursor.malformed(0, "the letters GGUF", quoted(&magic)));
    }
    let version = cursor.u32("version")?;
    if !(2..=3).contains(&version) {
        let found = match version.swap_bytes() {
            2 | 3 => "a big-endian file".to_owned(),
            _ => format!("version {version}"),
        };
        return Err(WeightsError::Unsupported(Fault::new(
            cursor.path(),
            "byte 4",
            "GGUF version 2 or 3, little-endian",
            found,
            "convert the model again with a current converter",
        )));
    }
    let n_tensors = counted(cursor, "tensors", MOST_TENSORS)?;
    let n_keys = counted(cursor, "keys", MOST_KEYS)?;
    Ok(Header {
        version,
        n_tensors,
        n_keys,
    })
}

fn counted(cursor: &mut Cursor<'_>, what: &str, most: u64) -> Result<u64> {
    let at = cursor.at();
    match cursor.u64(what)? {
        n if n <= most => Ok(n),
        n => Err(cursor.malformed(at, format!("at most {most} {what}"), n.to_string())),
    }
}

fn read_metadata(
    cursor: &mut Cursor<'_>,
    source: &Arc<Source>,
    header: &Header,
) -> Result<Metadata> {
    let mut entries = BTreeMap::new();
    for _ in 0..header.n_keys {
        let at = cursor.at();
        let key = cursor.name("key", LONGEST_KEY)?;
        let value = read_value(cursor, key)?;
        if entries.insert(key.into(), value).is_some() {
            return Err(cursor.malformed(at, "each key once", quoted(key.as_bytes())));
        }
    }
    let path = source.path().to_path_buf();
    Ok(Metadata {
        path,
        version: header.version,
        entries,
    })
}

fn read_value(cursor: &mut Cursor<'_>, key: &str) -> Result<Value> {
    let kind = cursor.kind(key)?;
    if kind == ValueKind::Array {
        let (kind, count) = cursor.array_head(key)?;
        let elements = cursor.elements(kind, count, key)?;
        // Values of fixed size were found to lie in the file, others were walked one by one.
        let len = usize::try_from(count).expect("the values lie in the file");
        return Ok(Value::Array(Array {
            kind,
            len,
            elements,
        }));
    }
    let start = cursor.at();
    let span = cursor.elements(kind, 1, key)?;
    let mut at = 0;
    Value::read(kind, &span, &mut at)
        .ok_or_else(|| cursor.malformed(start, format!("a {}", kind.name()), "none"))
}

/// A tensor as the header describes it.
struct Info {
    name: Arc<str>,
    ty: TensorType,
    shape: Vec<usize>,
    n_bytes: u64,
    /// From the start of the data.
    offset: u64,
}

fn read_info(cursor: &mut Cursor<'_>, source: &Arc<Source>, alignment: u64) -> Result<Info> {
    let name = cursor.name("tensor name", LONGEST_NAME)?;
    let fault = |expected: String, found: String, hint| {
        let place = format!("tensor {}", quoted(name.as_bytes()));
        Fault::new(source.path(), place, expected, found, hint)
    };
    let n_dims = cursor.u32(name)?;
    if n_dims > MOST_DIMS {
        let expected = format!("at most {MOST_DIMS} dimensions");
        return Err(WeightsError::Malformed(fault(
            expected,
            n_dims.to_string(),
            DAMAGED,
        )));
    }
    let dims = (0..n_dims)
        .map(|_| cursor.u64(name))
        .collect::<Result<Vec<_>>>()?;
    let number = cursor.u32(name)?;
    let ty = tensor_type(number).map_err(|known| {
        WeightsError::Unsupported(fault(
            "a tensor type that this program reads".into(),
            format!("number {number}: {known}"),
            "use a file of the model in another quantization, such as Q4_K_M or Q8_0",
        ))
    })?;
    let offset = cursor.u64(name)?;
    if !offset.is_multiple_of(alignment) {
        let expected = format!("an offset that is a multiple of {alignment}");
        return Err(WeightsError::Malformed(fault(
            expected,
            offset.to_string(),
            DAMAGED,
        )));
    }
    // Files count from the innermost dimension, everything else here from the outermost.
    let shape = dims
        .iter()
        .rev()
        .map(|&d| usize::try_from(d).ok())
        .collect::<Option<Vec<_>>>();
    let (shape, n_bytes) = shape
        .and_then(|s| size(ty, &s).map(|n| (s, n)))
        .ok_or_else(|| {
            let expected = format!(
                "{ty} rows of whole blocks of {}, in memory's range",
                ty.block_len()
            );
            WeightsError::Malformed(fault(expected, format!("dimensions {dims:?}"), DAMAGED))
        })?;
    Ok(Info {
        name: name.into(),
        ty,
        shape,
        n_bytes: n_bytes as u64,
        offset,
    })
}

/// The bytes of a tensor, if its rows are whole blocks and no product of its dimensions overflows.
fn size(ty: TensorType, shape: &[usize]) -> Option<usize> {
    // A zero must not hide an overflow, so it counts as one here.
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d.max(1)))?;
    ty.bytes_for(shape.last().copied().unwrap_or(1))?;
    ty.bytes_for(shape.iter().product())
}

fn alignment(metadata: &Metadata) -> Result<u64> {
    let key = "general.alignment";
    match metadata.opt_u64(key)?.unwrap_or(DEFAULT_ALIGNMENT) {
        n if n.is_power_of_two() => Ok(n),
        n => Err(WeightsError::Malformed(Fault::new(
            metadata.path(),
            format!("key `{key}`"),
            "a power of two",
            n.to_string(),
            DAMAGED,
        ))),
    }
}

/// Turns descriptions into tensors. `header_end` is where the header ends; the data starts at the
/// next multiple of the alignment.
fn place(
    source: &Arc<Source>,
    infos: &[Info],
    header_end: u64,
    alignment: u64,
) -> Result<Vec<MappedTensor>> {
    let file_len = source.bytes().len() as u64;
    let start_of = |info: &Info| {
        let data = header_end.checked_next_multiple_of(alignment)?;
        data.checked_add(info.offset)
    };
    let end_of = |info: &Info| start_of(info)?.checked_add(info.n_bytes);
    let mut tensors = Vec::with_capacity(infos.len());
    for info in infos {
        if end_of(info).is_none_or(|end| end > file_len) {
            let needed = infos.iter().map(|i| end_of(i).unwrap_or(u64::MAX)).max();
            return Err(too_short(source, &info.name, needed.unwrap_or(u64::MAX)));
        }
        let start = start_of(info).and_then(|n| usize::try_from(n).ok());
        let len = usize::try_from(info.n_bytes).ok();
        let data = start
            .zip(len)
            .and_then(|(start, len)| Span::new(source, start, len));
        let data = data.expect("the end was found to lie in the file");
        tensors.push(MappedTensor::new(
            Arc::clone(&info.name),
            info.ty,
            &info.shape,
            data,
        ));
    }
    Ok(tensors)
}

fn too_short(source: &Source, tensor: &str, needed: u64) -> WeightsError {
    let len = source.bytes().len() as u64;
    WeightsError::Truncated(Fault::new(
        source.path(),
        format!("tensor {}", quoted(tensor.as_bytes())),
        format!("a file of {needed} bytes, as its header says"),
        format!("{len}, {} too few", needed.saturating_sub(len)),
        INCOMPLETE,
    ))
}

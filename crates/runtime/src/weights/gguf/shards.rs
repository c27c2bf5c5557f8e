//! Models that were split over several GGUF files: `NAME-00001-of-00003.gguf` and so on.
//!
//! Every shard carries `split.no` (from 0) and `split.count`; all other metadata is in the first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::metadata::Metadata;
use super::parse::{parse, parse_metadata};
use crate::weights::error::{DAMAGED, Fault, Result, WeightsError, quoted};
use crate::weights::source::Source;
use crate::weights::tensor::MappedTensor;

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";
const TENSORS: &str = "split.tensors.count";

/// The parts of a shard's file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::weights) struct ShardName {
    /// What stands before `-00001-of-00003.gguf`.
    pub(in crate::weights) prefix: String,
    /// From 1.
    pub(in crate::weights) number: u64,
    pub(in crate::weights) count: u64,
}

impl ShardName {
    /// Reads a name; `None` if it is not that of a shard.
    pub(in crate::weights) fn read(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".gguf")?;
        let (rest, count) = stem.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| -> Option<u64> {
            let plain = text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse().ok())?
        };
        let (number, count) = (digits(number)?, digits(count)?);
        (1..=count).contains(&number).then(|| Self {
            prefix: prefix.into(),
            number,
            count,
        })
    }

    /// The file name of shard `number` (from 1) of the same model.
    fn sibling(&self, number: u64) -> String {
        format!("{}-{number:05}-of-{:05}.gguf", self.prefix, self.count)
    }
}

/// The files of a model, of which one is named: all shards where it is one of several, else it alone.
/// Only names are looked at.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    match name.and_then(ShardName::read) {
        Some(name) => (1..=name.count)
            .map(|number| path.with_file_name(name.sibling(number)))
            .collect(),
        None => vec![path.to_owned()],
    }
}

/// Reads a file and, if it is one of several shards, all the others; gives the metadata of the
/// first, the tensors of all in order, and the bytes of all files.
pub(in crate::weights) fn open_all(
    source: &Arc<Source>,
) -> Result<(Metadata, Vec<MappedTensor>, u64)> {
    let path = source.path();
    let (metadata, mut tensors) = parse(source)?;
    let mut file_bytes = source.bytes().len() as u64;
    let Some(name) = shard_name(path, &metadata)? else {
        return Ok((metadata, tensors, file_bytes));
    };
    let mut first = (name.number == 1).then(|| metadata.clone());
    let mut all = Vec::new();
    for number in 1..=name.count {
        if number == name.number {
            all.append(&mut tensors);
            continue;
        }
        let (metadata, mut tensors, len) = open_sibling(path, &name, number)?;
        file_bytes += len;
        all.append(&mut tensors);
        if number == 1 {
            first = Some(metadata);
        }
    }
    let first = first.expect("a shard's number is from 1 to the count");
    check_total(&first, all.len())?;
    Ok((first, all, file_bytes))
}

/// Reads the metadata of a file or, if it is one of several shards, of the first.
pub(in crate::weights) fn open_first(source: &Arc<Source>) -> Result<(Metadata, u64)> {
    let path = source.path();
    let metadata = parse_metadata(source)?;
    match shard_name(path, &metadata)? {
        Some(name) if name.number > 1 => {
            let source = open_source(&path.with_file_name(name.sibling(1)), &name, 1)?;
            Ok((parse_metadata(&source)?, source.bytes().len() as u64))
        }
        _ => Ok((metadata, source.bytes().len() as u64)),
    }
}

/// The name of a file that says it is one of several shards, checked against what it says.
fn shard_name(path: &Path, metadata: &Metadata) -> Result<Option<ShardName>> {
    let count = metadata.opt_u64(COUNT)?.unwrap_or(1);
    if count <= 1 {
        return Ok(None);
    }
    let number = metadata.u64(NUMBER)?;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    ShardName::read(&file_name)
        .filter(|name| name.count == count && Some(name.number) == number.checked_add(1))
        .map(Some)
        .ok_or_else(|| {
            WeightsError::NotAModel(Fault::new(
                path,
                "file name",
                format!(
                    "NAME-{:05}-of-{count:05}.gguf, as its metadata says",
                    number.saturating_add(1)
                ),
                quoted(file_name.as_bytes()),
                "give the shards of a split model their original names, in one folder",
            ))
        })
}

fn open_sibling(
    path: &Path,
    name: &ShardName,
    number: u64,
) -> Result<(Metadata, Vec<MappedTensor>, u64)> {
    let path = path.with_file_name(name.sibling(number));
    let source = open_source(&path, name, number)?;
    let (metadata, tensors) = parse(&source)?;
    // The name follows from the first file's metadata; this file has to say the same.
    match shard_name(&path, &metadata)? {
        Some(_) => Ok((metadata, tensors, source.bytes().len() as u64)),
        None => Err(metadata.missing(COUNT)),
    }
}

fn open_source(path: &Path, name: &ShardName, number: u64) -> Result<Arc<Source>> {
    if path.exists() {
        return Source::open(path);
    }
    Err(WeightsError::NotAModel(Fault::new(
        path,
        format!("shard {number} of {}", name.count),
        "the file beside the others",
        "no such file",
        "download all shards of the model into one folder",
    )))
}

fn check_total(metadata: &Metadata, n_tensors: usize) -> Result<()> {
    match metadata.opt_u64(TENSORS)? {
        Some(n) if n != n_tensors as u64 => Err(WeightsError::Malformed(Fault::new(
            metadata.path(),
            format!("key `{TENSORS}`"),
            format!("{n} tensors in all shards"),
            n_tensors.to_string(),
            DAMAGED,
        ))),
        _ => Ok(()),
    }
}

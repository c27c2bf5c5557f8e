//! Which safetensors files of a folder make the model.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::header;
use crate::weights::error::{DAMAGED, Fault, Result, WeightsError, quoted};
use crate::weights::json;
use crate::weights::source::Source;
use crate::weights::table::TensorTable;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const LARGEST_INDEX: u64 = 64 << 20;
const MISSING: &str = "download all files of the model into one folder";

/// The files of a model, and what its index says of them.
pub(in crate::weights) struct Files {
    paths: Vec<PathBuf>,
    /// Tensor name → number of its file in `paths`; empty without an index.
    index: BTreeMap<Box<str>, usize>,
    index_path: PathBuf,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<Box<str>, Box<str>>,
}

/// The safetensors files of a folder: `model.safetensors`, or the shards that the index names, or
/// the only one there is. `names` are all names in the folder.
pub(in crate::weights) fn find(dir: &Path, names: &[String]) -> Result<Option<Files>> {
    let has = |name: &str| names.iter().any(|n| n == name);
    let single = |name: &str| Files {
        paths: vec![dir.join(name)],
        index: BTreeMap::new(),
        index_path: PathBuf::new(),
    };
    if has(SINGLE) {
        return Ok(Some(single(SINGLE)));
    }
    if has(INDEX) {
        return read_index(dir).map(Some);
    }
    let mut others = names.iter().filter(|n| n.ends_with(".safetensors"));
    match (others.next(), others.next()) {
        (Some(name), None) => Ok(Some(single(name))),
        (Some(_), Some(_)) => Err(WeightsError::NotAModel(Fault::new(
            dir,
            "several safetensors files",
            format!("{INDEX} beside them"),
            "none",
            MISSING,
        ))),
        (None, _) => Ok(None),
    }
}

fn read_index(dir: &Path) -> Result<Files> {
    let index_path = dir.join(INDEX);
    let index: Index = json::read(&index_path, LARGEST_INDEX)?;
    let mut numbers = BTreeMap::<Box<str>, usize>::new();
    let mut paths = Vec::new();
    let mut places = BTreeMap::new();
    for (tensor, file) in index.weight_map {
        let number = match numbers.get(&file) {
            Some(&number) => number,
            None => {
                paths.push(dir.join(plain_name(&index_path, &file)?));
                numbers.insert(file, paths.len() - 1);
                paths.len() - 1
            }
        };
        places.insert(tensor, number);
    }
    Ok(Files {
        paths,
        index: places,
        index_path,
    })
}

/// An index may name files of its own folder only.
fn plain_name<'a>(index_path: &Path, file: &'a str) -> Result<&'a str> {
    let mut parts = Path::new(file).components();
    let plain = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    );
    if plain && !file.contains(['/', '\\', '\0']) {
        return Ok(file);
    }
    Err(WeightsError::Malformed(Fault::new(
        index_path,
        "`weight_map`",
        "names of files in the same folder",
        quoted(file.as_bytes()),
        DAMAGED,
    )))
}

/// Maps the files and lists their tensors; gives the bytes of all files, too.
pub(in crate::weights) fn open_files(files: &Files) -> Result<(TensorTable, u64)> {
    let mut table = TensorTable::default();
    let mut file_bytes = 0;
    for path in &files.paths {
        if !path.exists() {
            let expected = "the file, which the index names";
            let fault = Fault::new(path, "shard", expected, "no such file", MISSING);
            return Err(WeightsError::NotAModel(fault));
        }
        let source = Source::open(path)?;
        file_bytes += source.bytes().len() as u64;
        for tensor in header::parse(&source)? {
            table.insert(tensor)?;
        }
    }
    check_index(files, &table)?;
    Ok((table, file_bytes))
}

/// Every tensor of the index has to be in the file that the index says.
fn check_index(files: &Files, table: &TensorTable) -> Result<()> {
    for (name, &number) in &files.index {
        let expected = &files.paths[number];
        if table
            .get(name)
            .is_none_or(|tensor| tensor.path() != expected)
        {
            return Err(WeightsError::Malformed(Fault::new(
                &files.index_path,
                format!("tensor {}", quoted(name.as_bytes())),
                format!("the tensor in {}", expected.display()),
                "none of that name",
                "index and shards are of different versions; download all of them again",
            )));
        }
    }
    Ok(())
}

//! What lies in a folder that is meant to be a model.

use std::path::{Path, PathBuf};

use super::error::{Fault, Result, WeightsError, io_error};
use super::gguf::ShardName;

pub(super) const CONFIG: &str = "config.json";

/// The names in a folder, sorted. Names that are no UTF-8 are no files of a model.
pub(super) fn names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io_error(dir))? {
        let entry = entry.map_err(io_error(dir))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// The only GGUF model of a folder: one file, or the first shard of the only split one.
///
/// Files named `mmproj…` hold the image part of a model beside its text part and do not count.
pub(super) fn only_gguf(dir: &Path, names: &[String]) -> Result<Option<PathBuf>> {
    let is_model = |name: &&String| name.ends_with(".gguf") && !name.starts_with("mmproj");
    let first_of = |name: &&String| ShardName::read(name).is_none_or(|shard| shard.number == 1);
    let mut models = names.iter().filter(is_model).filter(first_of);
    match (models.next(), models.next()) {
        (Some(name), None) => Ok(Some(dir.join(name))),
        (Some(_), Some(_)) => Err(not_a_model(
            dir,
            names,
            "one GGUF model",
            "name the file of the one you want",
        )),
        // A shard without the first: opening it says which ones are missing.
        (None, _) => Ok(names.iter().find(is_model).map(|name| dir.join(name))),
    }
}

pub(super) fn not_a_model(
    dir: &Path,
    names: &[String],
    expected: &str,
    hint: &'static str,
) -> WeightsError {
    const MOST_LISTED: usize = 12;
    let mut listed = names
        .iter()
        .take(MOST_LISTED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if names.is_empty() {
        listed = "an empty folder".into();
    } else if names.len() > MOST_LISTED {
        listed += &format!(" and {} more", names.len() - MOST_LISTED);
    }
    let listed = listed.escape_debug().to_string();
    WeightsError::NotAModel(Fault::new(dir, "folder", expected, listed, hint))
}

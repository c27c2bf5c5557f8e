//! What models are called.

use std::path::Path;

use crate::error::ServeError;

/// The names of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// As its owner named it: what the engine is asked to load.
    pub(crate) given: String,
    /// What clients see: no path of this machine.
    pub(crate) id: String,
}

impl Names {
    /// Whether it is called so.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.id == name || self.given == name || short(&self.given) == name
    }
}

/// The names of all models.
///
/// # Errors
/// When there is none, or two are the same.
pub(super) fn of_all(given: &[String]) -> Result<Vec<Names>, ServeError> {
    if given.is_empty() {
        return Err(ServeError::NoModel);
    }
    let mut all: Vec<Names> = Vec::new();
    for name in given {
        let is_path = Path::new(name).exists() || name.ends_with(".gguf");
        let id = match is_path {
            true => short(name).to_owned(),
            false => name.clone(),
        };
        if all.iter().any(|other| other.id == id) {
            return Err(ServeError::SameModel(id));
        }
        all.push(Names {
            given: name.clone(),
            id,
        });
    }
    Ok(all)
}

/// The last part of a path or a hub id, without the ending of a file.
fn short(name: &str) -> &str {
    let name = name.trim_end_matches(['/', '\\']);
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    last.strip_suffix(".gguf").unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(names: &[&str]) -> Result<Vec<Names>, ServeError> {
        of_all(
            &names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn paths_are_not_shown() {
        let names = all(&["/secret/place/tiny.gguf", "Qwen/Qwen3-0.6B", "qwen3:4b"]);
        let names = names.expect("names");
        let ids: Vec<&str> = names.iter().map(|names| names.id.as_str()).collect();
        assert_eq!(ids, ["tiny", "Qwen/Qwen3-0.6B", "qwen3:4b"]);
        assert!(names[1].has("Qwen3-0.6B") && names[1].has("Qwen/Qwen3-0.6B"));
        assert!(!names[1].has("qwen3:4b"));
    }

    #[test]
    fn names_are_different() {
        assert!(matches!(all(&[]), Err(ServeError::NoModel)));
        let twice = all(&["/a/x.gguf", "/b/x.gguf"]);
        assert!(matches!(twice, Err(ServeError::SameModel(id)) if id == "x"));
    }
}

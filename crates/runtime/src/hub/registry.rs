//! Short names: `models/registry.toml` as a table.

use std::sync::LazyLock;

use serde::Deserialize;

use super::layout::{RepoId, check_revision};
use super::{FileSpec, HubError, HubRef};

/// One model of the registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryEntry {
    /// Short name, lower case: `qwen3:0.6b`.
    pub name: String,
    /// Other names for the same model; the bare family name stands for its most usual size.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// `owner/name` on the hub.
    pub repo: String,
    /// One GGUF of the repository, as after the colon of a reference; absent for safetensors.
    pub file: Option<String>,
    /// Branch, tag or commit; absent for `main`.
    pub revision: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    model: Vec<RegistryEntry>,
}

/// All models that have a short name, in the order of the file.
///
/// # Panics
/// When the embedded `models/registry.toml` is malformed, which a test rules out.
pub fn registry() -> &'static [RegistryEntry] {
    static REGISTRY: LazyLock<Vec<RegistryEntry>> = LazyLock::new(|| {
        let parsed: Registry =
            toml::from_str(ponder_models::REGISTRY).expect("models/registry.toml is valid");
        parsed.model
    });
    &REGISTRY
}

impl RegistryEntry {
    /// Where the model lies on the hub.
    fn hub_ref(&self) -> Result<HubRef, &'static str> {
        let repo = RepoId::parse(&self.repo)?;
        let file = self.file.as_deref().map(FileSpec::parse).transpose()?;
        self.revision.as_deref().map_or(Ok(()), check_revision)?;
        Ok(HubRef {
            repo,
            file,
            revision: self.revision.clone(),
        })
    }

    fn is_called(&self, name: &str) -> bool {
        std::iter::once(&self.name)
            .chain(&self.aliases)
            .any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The model with this short name or alias, in upper or lower case.
pub(super) fn lookup(name: &str) -> Result<HubRef, HubError> {
    match registry().iter().find(|entry| entry.is_called(name)) {
        Some(entry) => entry
            .hub_ref()
            .map_err(|reason| HubError::InvalidReference {
                text: name.to_owned(),
                reason,
            }),
        None => Err(HubError::UnknownName {
            name: name.to_owned(),
            known: similar(name),
        }),
    }
}

/// Names of the same family, or all names where the family is unknown too.
fn similar(name: &str) -> Vec<String> {
    let family = name.split(':').next().unwrap_or(name).to_ascii_lowercase();
    let all = || registry().iter().map(|entry| entry.name.clone());
    let near: Vec<String> = all()
        .filter(|known| !family.is_empty() && known.starts_with(&family))
        .collect();
    if near.is_empty() {
        all().collect()
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_entry_is_valid_and_every_name_unique() {
        let mut seen = HashSet::new();
        for entry in registry() {
            entry
                .hub_ref()
                .unwrap_or_else(|reason| panic!("{}: {reason}", entry.name));
            for name in std::iter::once(&entry.name).chain(&entry.aliases) {
                assert!(
                    !name.contains(['/', '@']),
                    "{name} would be read as a repository"
                );
                assert_eq!(*name, name.to_ascii_lowercase());
                assert!(
                    seen.insert(name.clone()),
                    "{name} stands twice in the registry"
                );
            }
        }
        assert!(!seen.contains("default"));
    }

    #[test]
    fn an_unknown_size_lists_the_sizes_of_its_family() {
        let Err(HubError::UnknownName { known, .. }) = lookup("qwen3:999b") else {
            panic!("found")
        };
        assert!(
            known.len() > 1 && known.iter().all(|name| name.starts_with("qwen3")),
            "{known:?}"
        );
    }
}

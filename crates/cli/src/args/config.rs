//! The configuration file: the level that is thought with, and what levels mean to this user.
//!
//! ```toml
//! effort = "medium"
//!
//! [levels.low]
//! think_tokens = 500
//! think_time = "3s"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ponder_engine::{Effort, EffortOverrides};
use serde::Deserialize;

use super::values::EffortLevel;
use crate::error::CliError;
use crate::prompt::read_file;

/// What stands in the file; the default is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigFile {
    /// The level where none is typed.
    pub(crate) effort: Option<EffortLevel>,
    /// Fields of levels.
    pub(crate) levels: BTreeMap<Effort, EffortOverrides>,
}

impl ConfigFile {
    /// Reads the file that is named, or the one in the folder of the user's settings if there is one.
    ///
    /// # Errors
    /// A named file that is not there, and any that cannot be understood.
    pub(crate) fn read(named: Option<&Path>) -> Result<Self, CliError> {
        match (named, usual()) {
            (Some(path), _) => Self::parse(path),
            (None, Some(path)) if path.is_file() => Self::parse(&path),
            _ => Ok(Self::default()),
        }
    }

    fn parse(path: &Path) -> Result<Self, CliError> {
        toml::from_str(&read_file(path)?).map_err(|error| {
            let problem = error
                .message()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            CliError::failed(format!("`{}`: {problem}", path.display()))
                .with_hint("levels are written as [levels.low] with fields like think_tokens = 500")
        })
    }

    /// What a level's fields are here.
    pub(crate) fn level(&self, level: Option<Effort>) -> EffortOverrides {
        let own = level.and_then(|level| self.levels.get(&level));
        own.copied().unwrap_or_default()
    }
}

fn usual() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join("ponder").join("config.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ConfigFile, CliError> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).expect("written");
        ConfigFile::read(Some(&path))
    }

    #[test]
    fn levels_are_changed_field_by_field() {
        let config =
            read("effort = \"low\"\n[levels.low]\nthink_tokens = 5\nthink_time = \"2s\"\n");
        let config = config.expect("understood");
        let low = config.level(Some(Effort::Low));
        assert_eq!(config.effort, Some(EffortLevel::Low));
        assert_eq!(
            (low.think_tokens, low.think_time.map(|t| t.as_secs())),
            (Some(5), Some(2))
        );
        assert_eq!(config.level(Some(Effort::High)), EffortOverrides::default());
        assert_eq!(config.level(None), EffortOverrides::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            "[levels.low]\nthink = 1",
            "[levels.lots]",
            "x = 1",
            "[levels.low]\nthink_time = \"x\"",
        ] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(
                error.contains("config.toml`: ") && !error.contains('\n'),
                "{error}"
            );
        }
        assert!(ConfigFile::read(Some(Path::new("no/such.toml"))).is_err());
    }
}

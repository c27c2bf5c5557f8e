//! What a user may type to name a model.

use std::fmt;
use std::path::{Path, PathBuf};

use super::layout::{RepoId, check_revision};
use super::{HubError, registry};

/// A model as the user named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelRef {
    /// A file or folder on this machine.
    Path(PathBuf),
    /// A repository on the hub, or one model of it.
    Hub(HubRef),
    /// The model that is part of the program.
    Default,
}

/// A repository on the hub, with what narrows it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRef {
    /// `owner/name`.
    pub repo: RepoId,
    /// One GGUF of the repository.
    pub file: Option<FileSpec>,
    /// Branch, tag or commit; `None` is the branch `main`.
    pub revision: Option<String>,
}

/// How one GGUF of a repository is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSpec {
    /// By its file name, with or without the folder in front.
    Name(String),
    /// By a quantization tag such as `Q4_K_M`, in upper or lower case.
    Tag(String),
}

impl ModelRef {
    /// Reads a model reference.
    ///
    /// A path that exists wins over everything but `default`; what looks like a path
    /// (absolute, `./…`, `../…`, `….gguf` without a colon) is one even where nothing is there.
    ///
    /// # Errors
    /// [`HubError::InvalidReference`] and [`HubError::UnknownName`].
    pub fn parse(text: &str) -> Result<ModelRef, HubError> {
        let invalid = |reason| HubError::InvalidReference {
            text: text.to_owned(),
            reason,
        };
        if text == "default" {
            return Ok(ModelRef::Default);
        }
        if text.trim().is_empty() {
            return Err(invalid("it is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(invalid("it has control characters"));
        }
        let path = Path::new(text);
        if path.exists() || looks_like_path(text) {
            return Ok(ModelRef::Path(path.to_path_buf()));
        }
        let (name, file, revision) = split(text);
        if let Some(revision) = revision {
            check_revision(revision).map_err(invalid)?;
        }
        if !name.contains('/') {
            // The registry's names have a colon of their own: `qwen3:0.6b`.
            let name = text.split('@').next().unwrap_or(text);
            let mut found = registry::lookup(name)?;
            found.revision = revision.map(str::to_owned).or(found.revision);
            return Ok(ModelRef::Hub(found));
        }
        let repo = RepoId::parse(name).map_err(invalid)?;
        let file = file.map(FileSpec::parse).transpose().map_err(invalid)?;
        Ok(ModelRef::Hub(HubRef {
            repo,
            file,
            revision: revision.map(str::to_owned),
        }))
    }
}

/// Splits `name[:file][@revision]`; `name[@revision][:file]` is understood as well, since no
/// git revision has a colon.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let end = text.find([':', '@']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if let Some(rest) = rest.strip_prefix(':') {
        match rest.rsplit_once('@') {
            Some((file, revision)) => (name, Some(file), Some(revision)),
            None => (name, Some(rest), None),
        }
    } else if let Some(rest) = rest.strip_prefix('@') {
        match rest.split_once(':') {
            Some((revision, file)) => (name, Some(file), Some(revision)),
            None => (name, None, Some(rest)),
        }
    } else {
        (name, None, None)
    }
}

fn looks_like_path(text: &str) -> bool {
    let is_gguf = text.len() > 5 && text[text.len() - 5..].eq_ignore_ascii_case(".gguf");
    Path::new(text).is_absolute()
        || ["./", "../", ".\\", "..\\", "~"]
            .iter()
            .any(|start| text.starts_with(start))
        || matches!(text, "." | "..")
        || (is_gguf && !text.contains(':'))
}

impl FileSpec {
    /// `….gguf` is a file name, anything else a quantization tag.
    pub(super) fn parse(text: &str) -> Result<FileSpec, &'static str> {
        if text.is_empty() {
            return Err("nothing stands after the colon");
        }
        if text.to_ascii_lowercase().ends_with(".gguf") {
            return Ok(FileSpec::Name(text.to_owned()));
        }
        let is_tag = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if is_tag {
            Ok(FileSpec::Tag(text.to_owned()))
        } else {
            Err("after the colon comes a .gguf file or a quantization such as Q4_K_M")
        }
    }
}

impl fmt::Display for FileSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (FileSpec::Name(text) | FileSpec::Tag(text)) = self;
        f.write_str(text)
    }
}

impl fmt::Display for HubRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repo)?;
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        match &self.revision {
            Some(revision) => write!(f, "@{revision}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelRef::Path(path) => write!(f, "{}", path.display()),
            ModelRef::Hub(hub) => hub.fmt(f),
            ModelRef::Default => f.write_str("default"),
        }
    }
}

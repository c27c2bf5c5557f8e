//! A model's files as one thing.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{Fault, Result, WeightsError, io_error, quoted};
use super::folder::{self, CONFIG};
use super::source::{Memory, Source};
use super::table::TensorTable;
use super::tensor::MappedTensor;
use super::{gguf, json, safetensors};

/// More than any configuration has; it bounds what a hostile one can allocate.
const LARGEST_CONFIG: u64 = 4 << 20;
const WHAT_A_MODEL_IS: &str =
    "a .gguf file, or a folder with config.json and model.safetensors or with one .gguf file";

/// The format of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// One GGUF file or its shards.
    Gguf,
    /// A folder in the layout of the Hugging Face hub.
    Safetensors,
}

/// An opened model: its configuration and its tensors, which stay in the mapped files.
#[derive(Debug)]
pub struct Checkpoint {
    format: Format,
    path: PathBuf,
    dir: Option<PathBuf>,
    gguf: Option<gguf::Metadata>,
    config: Option<Value>,
    tensors: TensorTable,
    file_bytes: u64,
}

impl Checkpoint {
    /// Opens a model: a GGUF file (of a split one, any shard), a folder with `config.json` and
    /// safetensors files, or a folder with one GGUF model. No weight is read.
    ///
    /// # Errors
    /// If there is no model at `path`, or its files are incomplete, damaged, or of a kind that
    /// this program does not read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, true)
    }

    /// The same without the tensors: for a folder that may hold no weights, and for a GGUF file
    /// that may end after its metadata.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for what concerns tensors.
    pub fn open_metadata(path: &Path) -> Result<Self> {
        Self::open_with(path, false)
    }

    /// Opens a GGUF file that is in memory.
    ///
    /// # Errors
    /// If it is damaged, or of a kind that this program does not read.
    pub fn from_bytes(bytes: impl Into<Memory>) -> Result<Self> {
        let source = Source::memory(bytes.into());
        let (metadata, tensors) = gguf::parse(&source)?;
        let file_bytes = source.bytes().len() as u64;
        Self::from_gguf(source.path(), None, metadata, tensors, file_bytes)
    }

    fn open_with(path: &Path, tensors: bool) -> Result<Self> {
        let kind = std::fs::metadata(path).map_err(io_error(path))?;
        if kind.is_dir() {
            Self::open_folder(path, tensors)
        } else {
            Self::open_gguf(path, None, tensors)
        }
    }

    fn open_folder(dir: &Path, with_tensors: bool) -> Result<Self> {
        let names = folder::names(dir)?;
        let has_config = names.iter().any(|name| name == CONFIG);
        let files = if with_tensors {
            safetensors::find(dir, &names)?
        } else {
            None
        };
        let gguf = if files.is_none() {
            folder::only_gguf(dir, &names)?
        } else {
            None
        };
        // Repositories of GGUF files often carry the configuration of the original model.
        if let Some(path) = gguf {
            return Self::open_gguf(&path, Some(dir), with_tensors);
        }
        if !has_config || (with_tensors && files.is_none()) {
            let hint = "name a folder or file that holds a model, or download all of its files";
            return Err(folder::not_a_model(dir, &names, WHAT_A_MODEL_IS, hint));
        }
        let config = json::read(&dir.join(CONFIG), LARGEST_CONFIG)?;
        let (tensors, file_bytes) = match files {
            Some(files) => {
                let (tensors, file_bytes) = safetensors::open_files(&files)?;
                (safetensors::join(tensors, &config)?, file_bytes)
            }
            None => Default::default(),
        };
        Ok(Self {
            format: Format::Safetensors,
            path: dir.to_path_buf(),
            dir: Some(dir.to_path_buf()),
            gguf: None,
            config: Some(config),
            tensors,
            file_bytes,
        })
    }

    fn open_gguf(path: &Path, dir: Option<&Path>, with_tensors: bool) -> Result<Self> {
        let source = Source::open(path)?;
        check_magic(&source)?;
        let (metadata, tensors, file_bytes) = if with_tensors {
            gguf::open_all(&source)?
        } else {
            let (metadata, file_bytes) = gguf::open_first(&source)?;
            (metadata, Vec::new(), file_bytes)
        };
        Self::from_gguf(path, dir, metadata, tensors, file_bytes)
    }

    fn from_gguf(
        path: &Path,
        dir: Option<&Path>,
        metadata: gguf::Metadata,
        tensors: Vec<MappedTensor>,
        file_bytes: u64,
    ) -> Result<Self> {
        let mut table = TensorTable::default();
        for tensor in tensors {
            table.insert(tensor)?;
        }
        Ok(Self {
            format: Format::Gguf,
            path: path.to_path_buf(),
            dir: dir.map(Path::to_path_buf),
            gguf: Some(metadata),
            config: None,
            tensors: table,
            file_bytes,
        })
    }

    /// The format of the files.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The GGUF file or the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that was opened, in which tokenizer files may lie; `None` for a GGUF file that
    /// was named itself or is in memory.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The metadata of a GGUF model.
    #[must_use]
    pub fn gguf(&self) -> Option<&gguf::Metadata> {
        self.gguf.as_ref()
    }

    /// The `config.json` of a safetensors folder. Numbers that JSON cannot hold are there as
    /// `{"__float__": "Infinity"}`; [`float`](super::float) reads both.
    #[must_use]
    pub fn config(&self) -> Option<&Value> {
        self.config.as_ref()
    }

    /// A tensor by the name that it has in the file.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<MappedTensor> {
        self.tensors.get(name).cloned()
    }

    /// All tensors, in the order of the files.
    pub fn tensors(&self) -> impl Iterator<Item = &MappedTensor> {
        self.tensors.iter()
    }

    /// The bytes of all files with weights.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }
}

/// A file that is no GGUF at all deserves a better word than a damaged one.
fn check_magic(source: &Source) -> Result<()> {
    let path = source.path();
    let magic = source.bytes().first_chunk::<4>();
    if magic == Some(gguf::MAGIC) {
        return Ok(());
    }
    let found = magic.map_or_else(
        || format!("a file of {} bytes", source.bytes().len()),
        |magic| format!("a file that starts with {}", quoted(magic)),
    );
    let hint = match path.extension().and_then(|e| e.to_str()) {
        Some("safetensors") => "name the folder that the file lies in",
        Some("gguf") => "the download went wrong; download the file again",
        _ => "name a .gguf file or a model's folder",
    };
    let fault = Fault::new(path, "file", WHAT_A_MODEL_IS, found, hint);
    Err(WeightsError::NotAModel(fault))
}

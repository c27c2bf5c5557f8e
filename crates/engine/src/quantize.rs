//! Writing a model as a GGUF file with smaller weights.
//!
//! ```no_run
//! use ponder_engine::quantize::{QuantizeOptions, TargetType, quantize};
//!
//! # fn main() -> Result<(), ponder_engine::EngineError> {
//! let options = QuantizeOptions::default();
//! let out = "qwen3.gguf".as_ref();
//! let summary = quantize("Qwen/Qwen3-0.6B", out, TargetType::Q4KM, &options, &mut |_| {})?;
//! println!("{} bytes, {:.2} bits per weight", summary.file_bytes, summary.bits_per_weight);
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use ponder_runtime::quantize::TargetType;

use ponder_runtime::{hub, quantize::Plan, spec::ArchSpec};
use ponder_tokenizer::GgufVocab;
use serde::Serialize;

use crate::vocab::vocab_metadata;
use crate::{EngineError, LoadOptions, info, load};

/// How a model is read and its file written.
#[derive(Clone, Debug, Default)]
pub struct QuantizeOptions {
    /// Where the model comes from, and how many threads work; the other options play no part.
    pub load: LoadOptions,
    /// Replace a file of the same name.
    pub overwrite: bool,
}

/// What quantizing reports.
#[derive(Clone, Copy, Debug)]
pub enum QuantizeProgress<'a> {
    /// Files are being fetched.
    Download(hub::Progress<'a>),
    /// The vocabulary is being converted and tried.
    Tokenizer,
    /// Weights are being written.
    Weights {
        /// Bytes written.
        done: u64,
        /// Bytes of all tensors.
        total: u64,
    },
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuantizeSummary {
    /// The model as it was named.
    pub source: String,
    /// The file that was written.
    pub path: PathBuf,
    /// What it was quantized to.
    #[serde(rename = "type")]
    pub target: &'static str,
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Bytes of the source's weights.
    pub source_bytes: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bits of all tensors divided by the numbers in them.
    pub bits_per_weight: f64,
    /// How many tensors have which type.
    pub tensors: BTreeMap<&'static str, usize>,
    /// Seconds that it took, without downloads.
    pub seconds: f64,
}

/// Writes the model called `source` (anything that [`Engine::load`](crate::Engine::load) takes)
/// to the file `out`. Tensors are read and written a few rows at a time, so that memory does not
/// depend on the size of the model. Until all is written the file is called `OUT.partial`.
///
/// # Errors
/// When the model is not there or cannot be read, when GGUF has no place for its architecture or
/// its tokenizer, or when the file exists or cannot be written.
pub fn quantize(
    source: &str,
    out: &Path,
    target: TargetType,
    options: &QuantizeOptions,
    progress: &mut dyn FnMut(QuantizeProgress<'_>),
) -> Result<QuantizeSummary, EngineError> {
    let place = load::resolve(source, &options.load, &mut |step| {
        progress(QuantizeProgress::Download(step));
    })?;
    let started = Instant::now();
    let checkpoint = place.open()?;
    let mut name = model_name(source);
    let vocabulary = match checkpoint.gguf() {
        Some(_) => Vec::new(),
        None => {
            progress(QuantizeProgress::Tokenizer);
            let n_rows = ArchSpec::of(&checkpoint)?.vocab_size;
            let folder = checkpoint.dir().unwrap_or(checkpoint.path());
            let vocab = GgufVocab::from_folder(folder, &name, n_rows)?;
            name.clone_from(&vocab.name);
            let licence = info::licence(&checkpoint);
            let licence = licence.map(|name| ("general.license".to_owned(), name.as_str().into()));
            vocab_metadata(&vocab).into_iter().chain(licence).collect()
        }
    };
    let plan = Plan::new(&checkpoint, target, &name, vocabulary)?;
    let threads = options.load.threads;
    let written = plan.write(out, options.overwrite, threads, &mut |done, total| {
        progress(QuantizeProgress::Weights { done, total });
    })?;
    Ok(QuantizeSummary {
        source: source.to_owned(),
        path: out.to_path_buf(),
        target: target.name(),
        parameters: written.parameters,
        source_bytes: checkpoint.file_bytes(),
        file_bytes: written.file_bytes,
        bits_per_weight: written.tensor_bytes as f64 * 8.0 / written.parameters.max(1) as f64,
        tensors: written.types,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The last part of a path or of a hub id.
fn model_name(source: &str) -> String {
    let path = Path::new(source);
    let full = path.canonicalize();
    let name = full.as_deref().unwrap_or(path).file_name();
    name.map_or_else(
        || source.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

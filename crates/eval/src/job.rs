//! [`evaluate`]: from a model and a task to a report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ponder_engine::{
    Effort, EffortOverrides, Engine, LoadOptions, ModelInfo, SamplingOverrides, Weighing,
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::grid::Setting;
use crate::log::Log;
use crate::run::Run;
use crate::{EvalError, Grid, Progress, Report, Task};

/// How a task is asked.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is compared.
    pub grid: Grid,
    /// What levels mean to the user, beside what they mean to the model.
    pub levels: BTreeMap<Effort, EffortOverrides>,
    /// Every answer draws with a seed of its own that follows from this one.
    pub seed: u64,
    /// Answers to each question, at least 1; each is a vote where a row has votes.
    pub samples: usize,
    /// Questions that are asked side by side, at least 1.
    pub concurrency: usize,
    /// Tokens of thinking and answer together; `None`: as many as the context holds.
    pub max_tokens: Option<usize>,
    /// The system message of questions that have none.
    pub system: Option<String>,
    /// What differs from the model's own sampling defaults.
    pub sampling: SamplingOverrides,
    /// What a vote counts.
    pub weighing: Weighing,
    /// Where finished answers are kept, and an earlier run's are found.
    pub log: Option<PathBuf>,
}

/// Asks a model every question of a task in every row of the grid. `load` is how it was loaded.
///
/// # Errors
/// A log that cannot be used, and the first answer that could not be made; what was made before is
/// in the log.
pub fn evaluate(
    engine: &Engine,
    load: &LoadOptions,
    task: &Task,
    job: &Job,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Report, EvalError> {
    let model = engine.model();
    let settings = job.grid.settings(model, &job.levels);
    let mut known = Vec::new();
    let mut log = None;
    if let Some(path) = &job.log {
        let opened = Log::open(path, &identity(model, load, task, job, &settings)?)?;
        known = opened.1;
        log = Some(opened.0);
    }
    let mut run = Run {
        answerer: engine,
        task,
        job,
        log,
        progress,
    };
    let rows = run.rows(&settings, known)?;
    Ok(Report::new(&model.name, task, job, &settings, &rows))
}

/// Everything that results depend on, times included.
fn identity(
    model: &ModelInfo,
    load: &LoadOptions,
    task: &Task,
    job: &Job,
    settings: &[Setting],
) -> Result<Map<String, Value>, EvalError> {
    let print = model.fingerprint().map_err(EvalError::Model)?;
    let file = model.path.file_name().unwrap_or_default();
    let items = serde_json::to_vec(&task.items).unwrap_or_default();
    let rows = settings
        .iter()
        .map(|setting| json!({ "row": setting.to_string(), "meaning": setting.meaning }));
    let identity = json!({
        "model": file.to_string_lossy(),
        "model_fingerprint": print,
        "device": format!("{:?}", load.device).to_lowercase(),
        "threads": load.threads,
        "context": model.context,
        "cache_type": load.cache_type.map(|ty| ty.name()),
        "task": task.name,
        "number_of_questions": task.items.len(),
        "questions_fingerprint": digest(&items),
        "seed": job.seed,
        "samples": job.samples,
        "concurrency": job.concurrency,
        "max_tokens": job.max_tokens,
        "system_message": job.system,
        "sampling": sampling(&job.sampling),
        "weighing": format!("{:?}", job.weighing).to_lowercase(),
        "rows": rows.collect::<Vec<_>>(),
    });
    match identity {
        Value::Object(identity) => Ok(identity),
        _ => Ok(Map::new()),
    }
}

/// The first half of a hash, which is enough to tell questions apart.
fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The overrides that there are. A field that is new must be named here to compile.
fn sampling(overrides: &SamplingOverrides) -> Value {
    let SamplingOverrides {
        temperature,
        top_k,
        top_p,
        min_p,
        repetition_penalty,
        presence_penalty,
        frequency_penalty,
        dry_multiplier,
        dry_base,
        dry_allowed_length,
        dry_range,
        dry_breakers,
        logit_bias,
        // Every answer has its own.
        seed: _,
        logprobs,
    } = overrides;
    let mut fields = json!({
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "dry_multiplier": dry_multiplier,
        "dry_base": dry_base,
        "dry_allowed_length": dry_allowed_length,
        "dry_range": dry_range,
        "dry_breakers": dry_breakers,
        "logit_bias": logit_bias,
        "logprobs": logprobs,
    });
    if let Some(fields) = fields.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    fields
}

//! Looks inside: token ids, rendered prompts, logits.

use std::collections::HashMap;
use std::path::Path;

use ponder_runtime::{
    decoder::{LogitsFor, Step},
    spec::ArchSpec,
};
use ponder_tokenizer::{
    Tokenizer,
    chat::{ChatRequest, ChatTemplate, LocalTime, template_vars},
};
use safetensors::{Dtype, tensor::TensorView};
use serde::Serialize;
use serde_json::Value;

use crate::{
    Effort, EffortOverrides, EngineError, LoadOptions,
    device::Backend,
    load::{self, Place},
    prompt::with_system,
    sampling::SamplingDefaults,
};

/// Token ids of a text.
#[derive(Clone, Debug, Serialize)]
pub struct Tokens {
    /// Ids.
    pub ids: Vec<u32>,
    /// The text of each on its own.
    pub pieces: Vec<String>,
}

/// A rendered conversation.
#[derive(Clone, Debug, Serialize)]
pub struct Rendered {
    /// The text that the model sees.
    pub prompt: String,
    /// Its token ids.
    pub ids: Vec<u32>,
}

/// What [`logits`] wrote.
#[derive(Clone, Debug, Serialize)]
pub struct Logits {
    /// `[positions, vocabulary]`
    pub shape: [usize; 2],
    /// The greedy continuation.
    pub greedy: Vec<u32>,
}

/// The ids of a text, with what the tokenizer puts around it. Needs no weights.
///
/// # Errors
/// When the model's tokenizer cannot be built.
pub fn tokens(model: &str, options: &LoadOptions, text: &str) -> Result<Tokens, EngineError> {
    let tokenizer = tokenizer(model, options)?;
    let ids = tokenizer.encode(text, true)?;
    let pieces = ids.iter().map(|&id| tokenizer.piece(id)).collect();
    Ok(Tokens { ids, pieces })
}

/// Renders the body of a Chat Completions request with the model's template. Needs no weights.
///
/// # Errors
/// When the body is no request, or the template refuses it.
pub fn template(
    model: &str,
    options: &LoadOptions,
    request: &Value,
    now: Option<&str>,
) -> Result<Rendered, EngineError> {
    let request: ChatRequest = serde_json::from_value(request.clone())
        .map_err(|error| EngineError::Request(error.to_string()))?;
    let tokenizer = tokenizer(model, options)?;
    let parts = load::TextParts::new(tokenizer, SamplingDefaults::default(), 0)?;
    let mut prompt_options = request.prompt_options(&[]);
    let mut extra = parts.special_tokens();
    let effort: Option<Effort> = request
        .reasoning_effort
        .as_deref()
        .and_then(|level| level.parse().ok());
    let effort = parts.profile.resolve(effort, EffortOverrides::default());
    extra.extend(effort.vars.clone());
    extra.extend(request.chat_template_kwargs.clone().unwrap_or_default());
    prompt_options.extra = extra;
    let messages = with_system(&request.messages, effort.system.as_deref());
    let vars = template_vars(
        &parts.template,
        &messages,
        request.tools.as_deref().unwrap_or(&[]),
        &prompt_options,
    );
    let prompt = parts.template.render(&vars, clock(now)?)?;
    let prompt = parts.without_thought(prompt, &effort);
    let ids = parts.encode_prompt(&prompt)?;
    Ok(Rendered { prompt, ids })
}

/// Renders a template with exactly these variables.
///
/// # Errors
/// When the template is not valid or refuses the variables.
pub fn template_file(source: &str, vars: &Value, now: Option<&str>) -> Result<String, EngineError> {
    Ok(ChatTemplate::new(source)?.render(vars, clock(now)?)?)
}

/// Runs ids through the model and writes `logits` (float32 `[len, vocab]`) and `greedy` (int64
/// `[n]`) to a safetensors file.
///
/// # Errors
/// When the model cannot be loaded or run, or the file cannot be written.
pub fn logits(
    model: &str,
    options: &LoadOptions,
    ids: &[u32],
    greedy: usize,
    out: &Path,
) -> Result<Logits, EngineError> {
    let checkpoint = load::resolve(model, options, &mut |_| {})?.open()?;
    let spec = ArchSpec::of(&checkpoint)?;
    let (vocab, total) = (spec.vocab_size, ids.len() + greedy);
    let alone = LoadOptions {
        max_sequences: 1,
        ..options.clone()
    };
    let backend = Backend::open(&alone, &spec, &checkpoint, &mut |note| {
        tracing::warn!("{note}")
    })?;
    let mut model = backend.load(spec, &checkpoint, total, alone.n_sequences())?;
    let sequence = model.start(total)?;
    let values = model
        .forward(&[Step {
            sequence,
            tokens: ids,
            logits: LogitsFor::All,
        }])?
        .to_vec();
    let mut last = values
        .get(values.len().saturating_sub(vocab)..)
        .unwrap_or_default()
        .to_vec();
    let mut continuation = Vec::new();
    while continuation.len() < greedy && !last.is_empty() {
        let token = argmax(&last);
        continuation.push(token);
        last = model
            .forward(&[Step {
                sequence,
                tokens: &[token],
                logits: LogitsFor::Last,
            }])?
            .to_vec();
    }
    write(out, &values, ids.len(), vocab, &continuation)?;
    Ok(Logits {
        shape: [ids.len(), vocab],
        greedy: continuation,
    })
}

fn write(
    out: &Path,
    logits: &[f32],
    rows: usize,
    vocab: usize,
    greedy: &[u32],
) -> Result<(), EngineError> {
    let fault = |message: String| EngineError::File {
        path: out.to_owned(),
        message,
    };
    let logits: Vec<u8> = logits
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let ids: Vec<u8> = greedy
        .iter()
        .flat_map(|&id| i64::from(id).to_le_bytes())
        .collect();
    let view = |dtype, shape, data| {
        TensorView::new(dtype, shape, data).map_err(|error| fault(error.to_string()))
    };
    let tensors = [
        ("logits", view(Dtype::F32, vec![rows, vocab], &logits)?),
        ("greedy", view(Dtype::I64, vec![greedy.len()], &ids)?),
    ];
    safetensors::serialize_to_file(tensors, None::<HashMap<String, String>>, out)
        .map_err(|error| fault(error.to_string()))
}

/// The largest logit, the lowest id of equal ones.
fn argmax(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().fold(
        0,
        |best, (id, logit)| if *logit > logits[best] { id } else { best },
    );
    best as u32
}

fn tokenizer(model: &str, options: &LoadOptions) -> Result<Tokenizer, EngineError> {
    let place = load::resolve(model, options, &mut |_| {})?;
    if let Place::Files(path) = &place
        && path.join("tokenizer.json").exists()
    {
        return Ok(Tokenizer::from_folder(path)?);
    }
    load::tokenizer(&place.open_metadata()?)
}

fn clock(now: Option<&str>) -> Result<Option<LocalTime>, EngineError> {
    now.map(|now| {
        now.parse()
            .map_err(|error| EngineError::Request(format!("--now: {error}")))
    })
    .transpose()
}

//! `ponder show`: what a model is and what memory it needs.

use ponder_engine::{ModelInfo, store};
use serde::Serialize;

use crate::args::ModelChoice;
use crate::error::CliError;
use crate::inspect::write_out;
use crate::render::table::{Align, pairs, table};
use crate::render::{bytes, count, print_json};
use crate::terminal::Terminal;

/// Contexts that are shown beside the model's own.
const USUAL_CONTEXTS: [usize; 2] = [4096, 32_768];

/// Memory that one context length needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Memory {
    context: usize,
    weights_bytes: u64,
    cache_bytes: u64,
    total_bytes: u64,
}

/// What `show --json` prints: the model's facts and the memory per context length.
#[derive(Debug, Serialize)]
struct ShowJson<'a> {
    #[serde(flatten)]
    model: &'a ModelInfo,
    memory: &'a [Memory],
}

/// Prints a model's facts.
pub(crate) fn show(
    model: &ModelChoice,
    context: Option<usize>,
    json: bool,
    terminal: Terminal,
) -> Result<(), CliError> {
    let model = store::show(&model.name, &model.options)?;
    let memory = memory(&model, context);
    if json {
        let value = ShowJson {
            model: &model,
            memory: &memory,
        };
        return Ok(print_json(&mut std::io::stdout(), &value)?);
    }
    let styles = terminal.out;
    let columns = [
        ("CONTEXT", Align::Right),
        ("WEIGHTS", Align::Right),
        ("CACHE", Align::Right),
        ("MEMORY", Align::Right),
    ];
    let rows: Vec<Vec<String>> = memory.iter().map(memory_row).collect();
    let facts = pairs(&facts(&model), styles);
    write_out(&format!("{facts}\n{}", table(&columns, &rows, styles)))
}

fn facts(model: &ModelInfo) -> Vec<(&'static str, String)> {
    let template = match model.template {
        true => format!("yes, markers: {}", model.chat_format),
        false => "none: a base model that continues text".to_owned(),
    };
    vec![
        ("model", model.name.clone()),
        ("path", model.path.display().to_string()),
        ("architecture", model.family.clone()),
        ("parameters", count(model.parameters)),
        ("quantization", model.quantization.clone()),
        ("context", format!("{} tokens", model.context)),
        ("layers", model.n_layers.to_string()),
        ("hidden size", model.hidden_size.to_string()),
        ("template", template),
        (
            "licence",
            model
                .licence
                .clone()
                .unwrap_or_else(|| "not stated".to_owned()),
        ),
        ("size", bytes(model.file_bytes)),
    ]
}

/// Memory at the asked context, or at the usual ones and the model's own.
fn memory(model: &ModelInfo, asked: Option<usize>) -> Vec<Memory> {
    let mut contexts = match asked {
        Some(context) => vec![context],
        None => USUAL_CONTEXTS
            .iter()
            .copied()
            .filter(|&context| context < model.context)
            .collect(),
    };
    if asked.is_none() {
        contexts.push(model.context);
    }
    let at = |context: usize| {
        let total_bytes = model.memory_bytes(context);
        Memory {
            context,
            weights_bytes: model.file_bytes,
            cache_bytes: total_bytes.saturating_sub(model.file_bytes),
            total_bytes,
        }
    };
    contexts.into_iter().map(at).collect()
}

fn memory_row(memory: &Memory) -> Vec<String> {
    vec![
        memory.context.to_string(),
        bytes(memory.weights_bytes),
        bytes(memory.cache_bytes),
        bytes(memory.total_bytes),
    ]
}

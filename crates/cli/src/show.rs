//! `ponder show`: what a model is, what memory it needs, and what effort levels mean for it.

use ponder_engine::{EarlyExit, Effort, ModelInfo, ResolvedEffort, store};
use serde::Serialize;

use crate::args::{ConfigFile, ModelChoice};
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

/// What `show --json` prints: the model's facts, the memory per context length, the effort levels.
#[derive(Debug, Serialize)]
struct ShowJson<'a> {
    #[serde(flatten)]
    model: &'a ModelInfo,
    memory: &'a [Memory],
    effort_levels: &'a [ResolvedEffort],
}

/// Prints a model's facts.
pub(crate) fn show(
    model: &ModelChoice,
    context: Option<usize>,
    config: &ConfigFile,
    json: bool,
    terminal: Terminal,
) -> Result<(), CliError> {
    let model = store::show(&model.name, &model.options)?;
    let memory = memory(&model, context);
    let levels = Effort::ALL.map(|level| model.effort(Some(level), config.level(Some(level))));
    if json {
        let value = ShowJson {
            model: &model,
            memory: &memory,
            effort_levels: &levels,
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
    let memory = table(&columns, &rows, styles);
    let columns = [
        ("EFFORT", Align::Left),
        ("THINKING", Align::Right),
        ("THE MODEL IS TOLD", Align::Left),
        ("AND", Align::Left),
    ];
    let rows: Vec<Vec<String>> = levels.iter().map(level_row).collect();
    let levels = table(&columns, &rows, styles);
    write_out(&format!("{facts}\n{memory}\n{levels}"))
}

/// A level: the most tokens of thought, what the template gets, and what else differs from nothing.
fn level_row(effort: &ResolvedEffort) -> Vec<String> {
    let tokens = match effort.think_tokens {
        Some(0) => "none".to_owned(),
        Some(tokens) => format!("{tokens} tokens"),
        None => "no limit".to_owned(),
    };
    let vars = effort
        .vars
        .iter()
        .map(|(name, value)| format!("{name} = {value}"));
    let system = effort.system.iter().map(|text| format!("system: {text}"));
    let told: Vec<String> = vars.chain(system).collect();
    let seconds =
        |name: &str, time: std::time::Duration| format!("{name} {} s", time.as_secs_f64());
    let mut limits = Vec::new();
    limits.extend((effort.think_min > 0).then(|| format!("at least {} tokens", effort.think_min)));
    limits.extend(effort.think_time.map(|time| seconds("at most", time)));
    limits.extend(effort.deadline.map(|time| seconds("deadline", time)));
    limits.extend((effort.landing < 1.0).then(|| format!("landing from {}", effort.landing)));
    let exit = effort.early_exit;
    limits.extend((exit != EarlyExit::Off).then(|| format!("early exit by {}", exit.name())));
    limits.extend((effort.votes > 1).then(|| format!("{} votes", effort.votes)));
    limits.extend((!effort.loop_guard).then(|| "loops go on".to_owned()));
    let name = effort.level.map_or("own", Effort::name);
    vec![name.to_owned(), tokens, told.join(", "), limits.join(", ")]
}

fn facts(model: &ModelInfo) -> Vec<(&'static str, String)> {
    let template = match model.template {
        true => format!("yes, markers: {}", model.chat_format),
        false => "none: a base model that continues text".to_owned(),
    };
    let effort = match model.thinks {
        true => format!("as in {}", model.effort_profile),
        false => "no thoughts that are known of".to_owned(),
    };
    let path = match model.embedded {
        true => "part of the program".to_owned(),
        false => model.path.display().to_string(),
    };
    vec![
        ("model", model.name.clone()),
        ("path", path),
        ("architecture", model.family.clone()),
        ("parameters", count(model.parameters)),
        ("quantization", model.quantization.clone()),
        ("context", format!("{} tokens", model.context)),
        ("layers", model.n_layers.to_string()),
        ("hidden size", model.hidden_size.to_string()),
        ("template", template),
        ("effort", effort),
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

//! `ponder eval`: how often a model is right, and what that costs.

use std::io;
use std::path::Path;

use ponder_eval::{Report, Task, evaluate, plot};

use crate::answer::{self, Display};
use crate::args::{EvalJob, ShowThinking, TaskSource};
use crate::error::CliError;
use crate::inspect::write_out;
use crate::render::progress::Progress;
use crate::render::table::shown;
use crate::render::{clean, print_json};
use crate::terminal::Terminal;

/// Asks all questions and says what came of it.
pub(crate) fn eval(job: &EvalJob, json: bool, terminal: Terminal) -> Result<(), CliError> {
    let seed = job.settings.seed;
    // A mistake should not wait for a model to load, nor for hours to pass.
    for path in job.output.plot.iter().chain(&job.settings.log) {
        has_folder(path)?;
    }
    let task = match &job.task {
        TaskSource::Generator(n) => Task::generate(*n, seed),
        TaskSource::File(path, limit) => Task::read(path, *limit, seed)?,
    };
    let display = Display {
        json,
        show_thinking: ShowThinking::Hide,
        terminal,
    };
    let engine = answer::load(&job.model, display)?;
    let mut bar = Progress::spinner(terminal.stderr, "asking");
    let report = evaluate(
        &engine,
        &job.model.options,
        &task,
        &job.settings,
        &mut |step| {
            let message = format!("{} ({} of {} right)", step.row, step.right, step.answers);
            bar.answers(&message, step.done, step.total);
        },
    )?;
    drop(bar);
    if let Some(path) = &job.output.plot {
        std::fs::write(path, plot(&report)?).map_err(|error| {
            CliError::failed(format!("cannot write `{}`: {error}", path.display()))
        })?;
    }
    if json {
        return Ok(print_json(&mut io::stdout(), &report)?);
    }
    let text = match job.output.markdown {
        true => report.markdown(),
        false => tables(&report, terminal),
    };
    write_out(&text)
}

/// Sees that the folder of a file that is to be written is there.
pub(crate) fn has_folder(path: &Path) -> Result<(), CliError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => Err(CliError::failed(format!(
            "cannot write `{}`: there is no folder `{}`",
            path.display(),
            folder.display()
        ))
        .with_hint("make the folder first")),
        _ => Ok(()),
    }
}

fn tables(report: &Report, terminal: Terminal) -> String {
    let tables = report.tables();
    let tables = tables.iter().map(|content| shown(content, terminal.out));
    let tables: Vec<String> = tables.collect();
    let note = terminal.out.dim(&clean(&report.note()));
    format!("{}\n{note}\n", tables.join("\n"))
}

//! `ponder bench`: times to the first token and after it.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use ponder_bench::{Report, Restart, Session, changes_table, child, compare, plot};

use crate::answer::{self, Display};
use crate::args::{BenchJob, Form, Measurement, ShowThinking};
use crate::error::CliError;
use crate::eval::has_folder;
use crate::inspect::write_out;
use crate::render::progress::Progress;
use crate::render::table::shown;
use crate::render::{clean, print_json};
use crate::terminal::Terminal;

/// Measures, or compares what was measured.
pub(crate) fn bench(job: &BenchJob, json: bool, terminal: Terminal) -> Result<(), CliError> {
    match job {
        BenchJob::Measure(job) => measure(job, json, terminal),
        BenchJob::Child { model, settings } => {
            let made = child(&model.name, &model.options, &settings.sampling)?;
            write_out(&format!("{made}\n"))
        }
        BenchJob::Compare {
            before,
            after,
            threshold,
        } => compare_reports(before, after, *threshold, json, terminal),
    }
}

/// Prints what changed, and fails where anything became worse by more than the threshold.
fn compare_reports(
    before: &Path,
    after: &Path,
    threshold: f64,
    json: bool,
    terminal: Terminal,
) -> Result<(), CliError> {
    let changes = compare(before, after, threshold)?;
    match json {
        true => print_json(&mut io::stdout(), &changes)?,
        false => write_out(&shown(&changes_table(&changes), terminal.out))?,
    }
    match changes.iter().filter(|change| change.is_regression).count() {
        0 => Ok(()),
        n => Err(CliError::failed(format!(
            "{n} of {} figures became worse by more than {} %",
            changes.len(),
            100.0 * threshold
        ))),
    }
}

fn measure(job: &Measurement, json: bool, terminal: Terminal) -> Result<(), CliError> {
    // A mistake should not wait for minutes of measuring.
    if let Some(path) = &job.plot {
        has_folder(path)?;
    }
    let mut session = Session::new(job.settings.clone());
    if let Some(model) = &job.model {
        let display = Display {
            json,
            show_thinking: ShowThinking::Hide,
            terminal,
        };
        let engine = answer::load(model, display)?;
        let mut bar = Progress::spinner(terminal.stderr, "measuring");
        let mut watch = |step: &ponder_bench::Progress| {
            bar.runs(&step.row, step.done, step.total);
        };
        session.local(&engine, &model.options, &mut watch)?;
        if let Some(command) = &job.vs {
            session.versus(&engine, &model.options, command, &mut watch)?;
        }
        drop(engine);
        session.cold(&restart(), &mut watch)?;
    }
    for url in &job.endpoints {
        let (model, key) = (job.endpoint_model.as_deref(), job.api_key.as_deref());
        let mut bar = Progress::spinner(terminal.stderr, "measuring");
        session.endpoint(url, model, key, &mut |step| {
            bar.runs(&format!("{url}, {}", step.row), step.done, step.total);
        })?;
    }
    let report = session.report();
    if let Some(path) = &job.plot {
        std::fs::write(path, plot(&report)?).map_err(|error| {
            CliError::failed(format!("cannot write `{}`: {error}", path.display()))
        })?;
    }
    match (json, job.form) {
        (true, _) => print_json(&mut io::stdout(), &report)?,
        (_, Form::Tables) => write_out(&tables(&report, terminal))?,
        (_, Form::Jsonl) => write_out(&report.jsonl())?,
        (_, Form::Csv) => write_out(&report.csv())?,
        (_, Form::Markdown) => write_out(&report.markdown())?,
        (_, Form::Sql) => write_out(&report.sql())?,
    }
    has_answers(&report)
}

/// The arguments of this process, and the one that makes it the other side of a cold start.
fn restart() -> Restart {
    let typed = std::env::args_os().skip(1);
    Restart {
        args: typed.chain([OsString::from("--child")]).collect(),
    }
}

/// A row without a single answer is a failure of the whole.
fn has_answers(report: &Report) -> Result<(), CliError> {
    let is_empty = |row: &&ponder_bench::Row| row.n_failed() == row.runs.len();
    match report.rows.iter().find(is_empty) {
        None => Ok(()),
        Some(row) => Err(CliError::failed(format!(
            "every request of {} at {} failed",
            row.case, row.target
        ))
        .with_hint("the notes below the table, or the runs in the JSON, say why")),
    }
}

fn tables(report: &Report, terminal: Terminal) -> String {
    let styles = terminal.out;
    let mut text = report.headline();
    for content in report.tables() {
        text += &format!("\n{}", shown(&content, terminal.out));
    }
    for remark in report.remarks() {
        text += &format!("\nnote: {}\n", clean(&remark));
    }
    let definitions = report.definitions();
    let dimmed = definitions.lines().map(|line| styles.dim(line));
    format!("{text}\n{}\n", dimmed.collect::<Vec<_>>().join("\n"))
}

//! `ponder bench`: times to the first token and after it.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use ponder_bench::{Report, Restart, Session, child, compare, plot};

use crate::answer::{self, Display};
use crate::args::{BenchJob, Form, Measurement, ShowThinking};
use crate::error::{CliError, Outcome};
use crate::eval::has_folder;
use crate::inspect::write_out;
use crate::interrupt::{self, Cancellable};
use crate::render::progress::Progress;
use crate::render::table::shown;
use crate::render::{clean, print_json};
use crate::terminal::Terminal;

/// Measures, or compares what was measured.
pub(crate) fn bench(job: BenchJob, json: bool, terminal: Terminal) -> Result<Outcome, CliError> {
    match job {
        BenchJob::Measure(job) => return measure(*job, json, terminal),
        BenchJob::Child { model, sampling } => {
            let made = child(&model.name, &model.options, &sampling)?;
            write_out(&format!("{made}\n"))?;
        }
        BenchJob::Compare {
            before,
            after,
            threshold,
        } => compare_reports(&before, &after, threshold, json, terminal)?,
    }
    Ok(Outcome::Done)
}

/// Prints what changed, and fails where anything became worse by more than the threshold.
fn compare_reports(
    before: &Path,
    after: &Path,
    threshold: f64,
    json: bool,
    terminal: Terminal,
) -> Result<(), CliError> {
    let comparison = compare(before, after, threshold)?;
    match json {
        true => print_json(&mut io::stdout(), &comparison.changes)?,
        false => write_out(&shown(&comparison.table(), terminal.out))?,
    }
    if let Some(note) = comparison.note() {
        eprintln!("note: {note}");
    }
    match comparison.n_regressions() {
        0 => Ok(()),
        n => Err(CliError::failed(format!(
            "{n} of {} figures became worse by more than {} %",
            comparison.changes.len(),
            100.0 * threshold
        ))),
    }
}

/// Measures, and says what was measured even where the rest failed or Ctrl-C ended it.
fn measure(job: Measurement, json: bool, terminal: Terminal) -> Result<Outcome, CliError> {
    // A mistake should not wait for minutes of measuring.
    for path in job.plot.iter().chain(&job.save) {
        has_folder(path)?;
    }
    interrupt::install()?;
    let mut session = Session::new(job.settings.clone())?;
    let stop = session.stopper();
    let cancellable = Cancellable::measurement(stop.clone());
    let measured = measure_all(&job, &mut session, json, terminal);
    drop(cancellable);
    let has_rows = session.has_rows();
    if let (Err(error), true) = (&measured, has_rows) {
        session.note(&format!("not everything was measured: {error}"));
    }
    if has_rows {
        print(&session.report(), &job, json, terminal)?;
    }
    match measured {
        Ok(()) if stop.is_set() => Ok(Outcome::Interrupted),
        measured => measured.map(|()| Outcome::Done),
    }
}

fn measure_all(
    job: &Measurement,
    session: &mut Session,
    json: bool,
    terminal: Terminal,
) -> Result<(), CliError> {
    let display = Display {
        json,
        show_thinking: ShowThinking::Hide,
        terminal,
    };
    let stop = session.stopper();
    for (index, model) in job.models.iter().enumerate() {
        if stop.is_set() {
            return Ok(());
        }
        let engine = answer::load(model, display)?;
        let name = match job.models.len() {
            1 => String::new(),
            _ => format!("{}, {} threads, ", model.name, model.options.n_threads()),
        };
        let mut bar = Progress::spinner(terminal.stderr, "measuring");
        let mut watch = |step: &ponder_bench::Progress| {
            let message = format!("{name}{}", step.row);
            bar.runs(&clean(&message), step.done, step.total);
        };
        session.local(&engine, &model.options, &mut watch)?;
        drop(engine);
        session.cold(&restart(index), &mut watch)?;
    }
    for server in &job.servers {
        if stop.is_set() {
            return Ok(());
        }
        let mut bar = Progress::spinner(terminal.stderr, "measuring");
        session.endpoint(server, &mut |step| {
            let message = format!("{}, {}", server.url, step.row);
            bar.runs(&clean(&message), step.done, step.total);
        })?;
    }
    Ok(())
}

fn print(
    report: &Report,
    job: &Measurement,
    json: bool,
    terminal: Terminal,
) -> Result<(), CliError> {
    if let Some(path) = &job.plot {
        write_file(path, &plot(report)?)?;
    }
    if let Some(path) = &job.save {
        let mut text = Vec::new();
        print_json(&mut text, report)?;
        write_file(path, &text)?;
    }
    match (json, job.form) {
        (true, _) => print_json(&mut io::stdout(), report)?,
        (_, Form::Tables) => write_out(&tables(report, terminal))?,
        (_, Form::Jsonl) => write_out(&report.jsonl())?,
        (_, Form::Csv) => write_out(&report.csv())?,
        (_, Form::Markdown) => write_out(&report.markdown())?,
        (_, Form::Sql) => write_out(&report.sql())?,
    }
    has_answers(report)
}

fn write_file(path: &Path, content: impl AsRef<[u8]>) -> Result<(), CliError> {
    std::fs::write(path, content)
        .map_err(|error| CliError::failed(format!("cannot write `{}`: {error}", path.display())))
}

/// The arguments of this process, and the one that makes it the other side of a cold start, with the
/// model of this index.
fn restart(index: usize) -> Restart {
    let typed = std::env::args_os().skip(1);
    let child = OsString::from(format!("--child={index}"));
    Restart {
        args: typed.chain([child]).collect(),
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

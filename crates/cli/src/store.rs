//! `ponder pull`, `list` and `rm`: the local model store.

use std::io::{self, BufRead, Write};

use ponder_engine::store::{self, StoredModel};
use serde::Serialize;

use crate::args::ModelChoice;
use crate::error::CliError;
use crate::inspect::write_out;
use crate::render::table::{Align, table};
use crate::render::{Downloads, bytes, clean, print_json};
use crate::terminal::Terminal;

/// Downloads a model and says where it lies.
pub(crate) fn pull(model: &ModelChoice, json: bool, terminal: Terminal) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Pulled<'a> {
        model: &'a str,
        path: String,
    }
    let mut downloads = Downloads::new(terminal.stderr);
    let path = store::pull(&model.name, &model.options, &mut |step| {
        downloads.step(&step)
    })?;
    drop(downloads);
    let path = path.display().to_string();
    if json {
        let model = model.name.as_str();
        return Ok(print_json(&mut io::stdout(), &Pulled { model, path })?);
    }
    write_out(&format!("{}\n", clean(&path)))
}

/// One entry of `list --json`.
#[derive(Serialize)]
struct ListEntry<'a> {
    repo: String,
    revision: &'a str,
    refs: &'a [String],
    bytes: u64,
    path: String,
    files: Vec<FileEntry<'a>>,
}

#[derive(Serialize)]
struct FileEntry<'a> {
    name: &'a str,
    bytes: u64,
}

/// Lists what the store holds.
pub(crate) fn list(json: bool, terminal: Terminal) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct List<'a> {
        models: Vec<ListEntry<'a>>,
    }
    let models = store::list()?;
    if json {
        let models = models.iter().map(list_entry).collect();
        return Ok(print_json(&mut io::stdout(), &List { models })?);
    }
    if models.is_empty() {
        let hint = terminal.err.hint("hint:");
        eprintln!("the store is empty\n{hint} `ponder pull MODEL` downloads a model");
        return Ok(());
    }
    let columns = [
        ("MODEL", Align::Left),
        ("REVISION", Align::Left),
        ("FILES", Align::Right),
        ("SIZE", Align::Right),
    ];
    let rows: Vec<Vec<String>> = models.iter().map(list_row).collect();
    write_out(&table(&columns, &rows, terminal.out))
}

fn list_entry(model: &StoredModel) -> ListEntry<'_> {
    ListEntry {
        repo: model.repo.to_string(),
        revision: &model.revision,
        refs: &model.refs,
        bytes: model.bytes,
        path: model.path.display().to_string(),
        files: model.files.iter().map(file_entry).collect(),
    }
}

fn file_entry(file: &store::StoredFile) -> FileEntry<'_> {
    FileEntry {
        name: &file.name,
        bytes: file.bytes,
    }
}

fn list_row(model: &StoredModel) -> Vec<String> {
    let commit: String = model.revision.chars().take(8).collect();
    let revision = match model.refs.is_empty() {
        true => commit,
        false => format!("{commit} ({})", model.refs.join(", ")),
    };
    vec![
        model.repo.to_string(),
        revision,
        model.files.len().to_string(),
        bytes(model.bytes),
    ]
}

/// Removes a model, after asking where someone can answer.
pub(crate) fn remove(
    model: &str,
    yes: bool,
    json: bool,
    terminal: Terminal,
) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Removed<'a> {
        model: &'a str,
        freed_bytes: u64,
    }
    if !yes && !is_confirmed(model, terminal)? {
        return Err(CliError::failed(format!("`{}` was kept", clean(model))));
    }
    let freed_bytes = store::remove(model)?;
    if json {
        return Ok(print_json(
            &mut io::stdout(),
            &Removed { model, freed_bytes },
        )?);
    }
    write_out(&format!(
        "removed {}, {} freed\n",
        clean(model),
        bytes(freed_bytes)
    ))
}

fn is_confirmed(model: &str, terminal: Terminal) -> Result<bool, CliError> {
    if !terminal.stdin || !terminal.stderr {
        return Err(CliError::usage(
            format!("removing `{}` needs a confirmation", clean(model)),
            "add --yes, since nobody can be asked here",
        ));
    }
    eprint!("remove {} from the store? [y/N] ", clean(model));
    io::stderr().flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(is_yes(&line))
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes(" YES \r\n"));
        assert!(!is_yes("\n") && !is_yes("yo\n") && !is_yes(""));
    }
}

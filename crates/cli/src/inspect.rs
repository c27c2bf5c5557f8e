//! `ponder inspect`: what a model makes of a text, a request, token ids.

use std::io::{self, Write};
use std::path::Path;

use ponder_engine::inspect;
use serde::Serialize;
use serde_json::Value;

use crate::args::{InspectJob, ModelChoice, TemplateJob};
use crate::error::CliError;
use crate::prompt::{read_file, read_stdin};
use crate::render::table::{Align, table};
use crate::render::{clean, print_json};
use crate::terminal::Terminal;

/// Prints what was asked for.
pub(crate) fn inspect(job: &InspectJob, json: bool, terminal: Terminal) -> Result<(), CliError> {
    match job {
        InspectJob::Tokens { model, text } => {
            let text = match text {
                Some(text) => text.clone(),
                None => read_stdin(terminal)?,
            };
            tokens(model, &text, json, terminal)
        }
        InspectJob::Template(job) => template(job, json, terminal),
        InspectJob::Logits {
            model,
            ids,
            greedy,
            out,
        } => logits(model, ids, *greedy, out, json, terminal),
    }
}

fn tokens(model: &ModelChoice, text: &str, json: bool, terminal: Terminal) -> Result<(), CliError> {
    let tokens = inspect::tokens(&model.name, &model.options, text)?;
    if json {
        return Ok(print_json(&mut io::stdout(), &tokens)?);
    }
    let rows: Vec<Vec<String>> = tokens
        .ids
        .iter()
        .zip(&tokens.pieces)
        .map(|(id, piece)| vec![id.to_string(), format!("{piece:?}")])
        .collect();
    let columns = [("ID", Align::Right), ("PIECE", Align::Left)];
    write_out(&table(&columns, &rows, terminal.out))
}

fn template(job: &TemplateJob, json: bool, terminal: Terminal) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Prompt {
        prompt: String,
    }
    let prompt = match job {
        TemplateJob::Request {
            model,
            request,
            now,
        } => {
            let request = read_json(request)?;
            let rendered =
                inspect::template(&model.name, &model.options, &request, now.as_deref())?;
            if json {
                return Ok(print_json(&mut io::stdout(), &rendered)?);
            }
            rendered.prompt
        }
        TemplateJob::File {
            template,
            vars,
            now,
        } => {
            let (source, vars) = (read_file(template)?, read_json(vars)?);
            let prompt = inspect::template_file(&source, &vars, now.as_deref())?;
            if json {
                return Ok(print_json(&mut io::stdout(), &Prompt { prompt })?);
            }
            prompt
        }
    };
    // A terminal gets what is safe to show, a pipe every byte.
    let safe = match terminal.stdout {
        true => clean(&prompt),
        false => prompt.as_str().into(),
    };
    write_out(&format!("{safe}\n"))
}

fn logits(
    model: &ModelChoice,
    ids: &[u32],
    greedy: usize,
    out: &Path,
    json: bool,
    _terminal: Terminal,
) -> Result<(), CliError> {
    let written = inspect::logits(&model.name, &model.options, ids, greedy, out)?;
    if json {
        return Ok(print_json(&mut io::stdout(), &written)?);
    }
    let [len, vocab] = written.shape;
    let mut text = format!("{}: logits f32 [{len}, {vocab}]", out.display());
    if greedy > 0 {
        let tokens: Vec<String> = written.greedy.iter().map(u32::to_string).collect();
        text += &format!(", greedy i64 [{greedy}]: {}", tokens.join(","));
    }
    write_out(&format!("{text}\n"))
}

fn read_json(path: &Path) -> Result<Value, CliError> {
    serde_json::from_str(&read_file(path)?)
        .map_err(|error| CliError::failed(format!("`{}` is not JSON: {error}", path.display())))
}

/// Writes text to standard output without a panic when nobody reads it any more.
pub(crate) fn write_out(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

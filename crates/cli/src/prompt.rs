//! The prompt of a run, put together from the argument, a file and standard input.

use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::args::PromptSources;
use crate::error::CliError;
use crate::terminal::Terminal;

/// A silent standard input is mentioned after this time.
const PATIENCE: Duration = Duration::from_secs(2);

/// A prompt is held in memory several times; a larger one is a mistake.
const MAX_BYTES: u64 = 64 << 20;

/// Reads all sources and joins them with a blank line between.
///
/// # Errors
/// A file or input that cannot be read, is not UTF-8, or a prompt without any text.
pub(crate) fn read(sources: &PromptSources, terminal: Terminal) -> Result<String, CliError> {
    let mut parts = Vec::new();
    parts.extend(sources.argument.clone());
    if let Some(path) = &sources.file {
        parts.push(read_file(path)?);
    }
    if sources.stdin {
        parts.push(read_stdin(terminal)?);
    }
    let prompt = join(&parts);
    if prompt.is_empty() {
        return Err(CliError::usage(
            "the prompt is empty",
            "give some text as an argument, with --file or through a pipe",
        ));
    }
    Ok(prompt)
}

/// Joins what is not blank; the line ends around a part are not part of it.
fn join(parts: &[String]) -> String {
    let texts: Vec<&str> = parts
        .iter()
        .map(|part| part.trim_matches(['\n', '\r']))
        .filter(|part| !part.trim().is_empty())
        .collect();
    texts.join("\n\n")
}

/// The text of a file, with its name in the error.
pub(crate) fn read_file(path: &Path) -> Result<String, CliError> {
    let name = path.display();
    let failed = |error: io::Error| CliError::failed(format!("cannot read `{name}`: {error}"));
    let file = std::fs::File::open(path).map_err(failed)?;
    read_text(file, &format!("`{name}`"))
}

/// All of standard input.
///
/// A program that starts ponder without closing its standard input would make it wait for
/// ever, so that a silent input is mentioned.
pub(crate) fn read_stdin(terminal: Terminal) -> Result<String, CliError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more only when the program ends.
        let _ = sender.send(read_text(io::stdin().lock(), "standard input"));
    });
    let text = receiver.recv_timeout(PATIENCE).or_else(|_| {
        if !terminal.stdin {
            let hint = terminal.err.hint("hint:");
            eprintln!("{hint} waiting for standard input; `< /dev/null` runs without it");
        }
        receiver.recv()
    });
    text.unwrap_or_else(|_| Err(CliError::failed("standard input could not be read")))
}

fn read_text(source: impl Read, name: &str) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    source
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::failed(format!("cannot read {name}: {error}")))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(CliError::failed(format!(
            "{name} holds more than {} MiB, which is too long for a prompt",
            MAX_BYTES >> 20
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::failed(format!("{name} is not UTF-8 text (byte {at})"))
            .with_hint("convert it to UTF-8, for example with iconv")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_with_a_blank_line() {
        let parts = ["Summarize:", "  \n", "\n  a\nb\r\n"].map(str::to_owned);
        assert_eq!(join(&parts), "Summarize:\n\n  a\nb");
        assert_eq!(join(&["\n".to_owned()]), "");
    }

    #[test]
    fn input_must_be_text() {
        let error = read_text(&b"ab\xff"[..], "standard input").expect_err("not UTF-8");
        assert_eq!(
            error.to_string(),
            "standard input is not UTF-8 text (byte 2)"
        );
        assert_eq!(read_text(&b"ab"[..], "x").expect("text"), "ab");
        assert!(read_text(io::repeat(b'a'), "x").is_err());
    }

    #[test]
    fn missing_files_are_named() {
        let error = read_file(Path::new("no/such/file")).expect_err("not there");
        assert!(error.to_string().contains("no/such/file"));
    }
}

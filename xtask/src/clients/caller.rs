//! A model that knows how to call tools: the one in the program, with another chat template.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use super::FOLDER;

const MODEL: &str = "models/default/model.gguf";

const TEMPLATE: &str = "tests/clients/caller.jinja";

const KEY: &[u8] = b"tokenizer.chat_template";

/// The number that GGUF has for a text.
const TEXT: [u8; 4] = 8u32.to_le_bytes();

/// Data in a GGUF file begin at multiples of this.
const ALIGNMENT: usize = 32;

/// Writes the model and says where it is.
pub(super) fn write(sh: &Shell) -> Result<PathBuf> {
    let model = sh.read_binary_file(MODEL)?;
    let template = sh.read_file(TEMPLATE)?;
    let made = with_template(&model, &template).with_context(|| format!("reading {MODEL}"))?;
    let path = sh.current_dir().join(FOLDER).join("caller.gguf");
    fs::write(&path, made).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// The model with this template, which a comment makes longer or shorter by as much as leaves the data
/// where they may be.
fn with_template(model: &[u8], template: &str) -> Result<Vec<u8>> {
    let key = model.windows(KEY.len()).position(|part| part == KEY);
    let start = key.context("there is no template")? + KEY.len();
    let (head, rest) = model.split_at(start);
    let (kind, rest) = rest.split_at_checked(TEXT.len()).context("it ends early")?;
    ensure!(kind == TEXT, "the template is no text");
    let (length, rest) = rest.split_first_chunk().context("it ends early")?;
    let length = usize::try_from(u64::from_le_bytes(*length))?;
    let rest = rest.get(length..).context("it ends early")?;

    let comment = |padding: usize| format!("{{#{}#}}", " ".repeat(padding));
    let new = template.len() + comment(0).len();
    let padding = (length % ALIGNMENT + ALIGNMENT - new % ALIGNMENT) % ALIGNMENT;
    let template = template.to_owned() + &comment(padding);
    let length = u64::try_from(template.len())?.to_le_bytes();
    Ok([head, &TEXT, &length, template.as_bytes(), rest].concat())
}

//! `cargo xtask demo`: from a fresh clone to an answer in one command.

use anyhow::Result;
use xshell::{Shell, cmd};

use crate::assets;

/// Fetches SmolLM2 135M if need be and asks it `prompt`.
pub(crate) fn run(sh: &Shell, prompt: &str) -> Result<()> {
    assets::fetch(sh, &["smollm2"])?;
    let model = assets::FOLDER.to_owned() + "/SmolLM2-135M-Instruct.Q4_1.gguf";
    cmd!(
        sh,
        "cargo run --release --bin ponder -- run -m {model} --temperature 0 {prompt}"
    )
    .run()?;
    Ok(())
}

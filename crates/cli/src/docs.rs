//! Shell completions and manual pages, made from the arguments themselves.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::LowArgs;
use crate::error::CliError;

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: Shell) -> Result<(), CliError> {
    // clap_complete panics where writing fails, so it writes into memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut LowArgs::command(), "ponder", &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Writes `ponder.1` and a page for every command into a folder.
pub(crate) fn man(dir: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(LowArgs::command(), dir))
        .map_err(|error| {
            CliError::failed(format!(
                "cannot write manual pages into `{}`: {error}",
                dir.display()
            ))
        })
}

//! The `ponder` command line: arguments in, rendered answers out.
//!
//! 1. [`args`] parses what the user typed and resolves it into a [`args::Job`].
//! 2. Each command has a module: [`run`], [`chat`], [`inspect`], [`show`], [`store`],
//!    [`mod@quantize`], [`mod@serve`], [`eval`], [`mod@bench`], [`docs`]. All of them talk to the engine only.
//! 3. [`render`] turns the engine's events into text for a terminal, a pipe or JSON.
//! 4. [`error`] prints what went wrong and decides the exit code.

#![forbid(unsafe_code)]

mod answer;
mod args;
mod bench;
mod chat;
mod docs;
mod error;
mod eval;
mod inspect;
mod interrupt;
mod logging;
mod panic;
mod prompt;
mod quantize;
mod render;
mod run;
mod serve;
mod show;
mod store;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Job, LowArgs};
use crate::error::{CliError, Outcome};
use crate::terminal::Terminal;

fn main() -> ExitCode {
    panic::install_hook();
    // clap prints usage errors itself and exits with 2.
    let typed = LowArgs::parse();
    let terminal = Terminal::detect(typed.global.color);
    logging::init(typed.global.verbose, terminal);
    let result = std::panic::catch_unwind(|| execute(typed, terminal));
    match result {
        Ok(Ok(outcome)) => outcome.into(),
        Ok(Err(error)) => {
            error.report(terminal.err);
            ExitCode::from(error.exit_code())
        }
        // The hook has said what happened.
        Err(_) => ExitCode::FAILURE,
    }
}

fn execute(typed: LowArgs, terminal: Terminal) -> Result<Outcome, CliError> {
    let args = typed.resolve(terminal.stdin)?;
    let json = args.json;
    match args.job {
        Job::Run(job) => return run::run(&job, json, terminal),
        Job::Chat(job) => return chat::chat(*job, json, terminal),
        Job::Bench(job) => return bench::bench(*job, json, terminal),
        Job::Serve(options) => serve::serve(*options, json)?,
        Job::Pull(model) => store::pull(&model, json, terminal)?,
        Job::List => store::list(json, terminal)?,
        Job::Show {
            model,
            context,
            config,
        } => show::show(&model, context, &config, json, terminal)?,
        Job::Remove { model, yes } => store::remove(&model, yes, json, terminal)?,
        Job::Quantize(job) => quantize::quantize(&job, json, terminal)?,
        Job::Eval(job) => eval::eval(&job, json, terminal)?,
        Job::Inspect(job) => inspect::inspect(&job, json, terminal)?,
        Job::Completions(shell) => docs::completions(shell)?,
        Job::Man(dir) => docs::man(&dir)?,
    }
    Ok(Outcome::Done)
}

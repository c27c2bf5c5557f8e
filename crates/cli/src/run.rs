//! `ponder run`: one prompt, one answer.

use ponder_engine::Message;

use crate::answer::{self, Display};
use crate::args::RunJob;
use crate::error::{CliError, Outcome};
use crate::terminal::Terminal;
use crate::{interrupt, prompt};

/// Answers one prompt.
pub(crate) fn run(job: &RunJob, json: bool, terminal: Terminal) -> Result<Outcome, CliError> {
    let display = Display {
        json,
        show_thinking: job.answer.show_thinking,
        terminal,
    };
    // The prompt comes first: a mistake in it should not wait for a model to load.
    let prompt = prompt::read(&job.prompt, terminal)?;
    interrupt::install()?;
    let engine = answer::load(&job.model, display)?;
    let mut messages = Vec::new();
    messages.extend(
        job.answer
            .system
            .as_deref()
            .map(|text| Message::new("system", text)),
    );
    messages.push(Message::new("user", prompt));
    let request = answer::request(&job.answer, job.answer.effort, messages);
    let answer = answer::answer(&engine, request, job.answer.weighing, display)?;
    Ok(answer::outcome(&answer))
}

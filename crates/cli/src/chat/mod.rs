//! `ponder chat`: a conversation, typed or piped.
//!
//! 1. [`lines`] gives one line at a time: from rustyline on a terminal, from standard input
//!    where that is a pipe.
//! 2. [`assemble`] joins lines to turns: a backslash at the end, or a block within `"""`.
//! 3. [`command`] tells a command (`/help`) from a turn.
//! 4. [`session`] does it: it holds the [`conversation`] and asks the engine.

mod assemble;
mod command;
mod conversation;
mod editor;
mod lines;
mod session;

use ponder_engine::{Engine, Request, Weighing};

use self::lines::PipedLines;
use self::session::{Responder, Session};
use crate::answer::{self, Display};
use crate::args::ChatJob;
use crate::error::{CliError, Outcome};
use crate::interrupt;
use crate::render::events::Answer;
use crate::terminal::Terminal;

/// Talks until the input ends.
pub(crate) fn chat(job: ChatJob, json: bool, terminal: Terminal) -> Result<Outcome, CliError> {
    let display = Display {
        json,
        show_thinking: job.answer.show_thinking,
        terminal,
    };
    interrupt::install()?;
    let engine = answer::load(&job.model, display)?;
    let model = engine.model().name.clone();
    let responder = EngineResponder {
        engine,
        display,
        weighing: job.answer.weighing,
    };
    let mut session = Session::new(responder, job.answer, model, terminal.err);
    if terminal.stdin && terminal.stderr {
        session.greet();
        session.talk(&mut editor::EditorLines::new(job.history)?)?;
    } else {
        session.talk(&mut PipedLines::new(std::io::stdin().lock()))?;
    }
    Ok(Outcome::Done)
}

/// Answers with a model and shows the answer.
struct EngineResponder {
    engine: Engine,
    display: Display,
    weighing: Weighing,
}

impl Responder for EngineResponder {
    fn respond(&mut self, request: Request) -> Result<Answer, CliError> {
        answer::answer(&self.engine, request, self.weighing, self.display)
    }
}

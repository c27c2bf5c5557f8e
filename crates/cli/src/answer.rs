//! Loading a model and showing one answer: what `run` and `chat` have in common.

use std::io;

use ponder_engine::{Engine, Event, FinishReason, LoadProgress, Message, Request, Weighing};

use crate::args::{AnswerOptions, EffortLevel, ModelChoice, ShowThinking};
use crate::error::{CliError, Outcome};
use crate::interrupt::Cancellable;
use crate::render::events::{Answer, AnswerView, follow};
use crate::render::progress::Progress;
use crate::render::{
    AnswerJson, Downloads, PipeView, ReasoningSink, SilentView, TerminalView, Waiting, clean,
    print_json, stats_line,
};
use crate::terminal::Terminal;

/// How answers are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Display {
    pub(crate) json: bool,
    pub(crate) show_thinking: ShowThinking,
    pub(crate) terminal: Terminal,
}

impl Display {
    /// The view for where the output goes.
    fn view(&self) -> Box<dyn AnswerView> {
        let terminal = self.terminal;
        let waiting = Waiting::new(terminal.stderr);
        if self.json {
            return Box::new(SilentView::new(waiting));
        }
        if terminal.stdout {
            let shows_reasoning = self.show_thinking != ShowThinking::Hide;
            let out = anstream::stdout();
            return Box::new(TerminalView::new(
                out,
                terminal.out,
                shows_reasoning,
                waiting,
            ));
        }
        let sink = || ReasoningSink::new(io::stderr(), terminal.stderr, terminal.err);
        let reasoning = (self.show_thinking == ShowThinking::Full).then(sink);
        Box::new(PipeView::new(io::stdout(), reasoning, waiting))
    }

    /// What is printed below a complete answer.
    fn finish(&self, answer: &Answer) -> Result<(), CliError> {
        if self.json {
            print_json(&mut io::stdout(), &AnswerJson::new(answer))?;
        } else if self.terminal.stdout && self.terminal.stderr {
            let votes = answer.votes.as_ref();
            let line = self.terminal.err.dim(&stats_line(&answer.summary, votes));
            eprintln!("{line}");
        }
        Ok(())
    }
}

/// Loads the model behind a spinner, or behind bars where it must be downloaded first.
pub(crate) fn load(model: &ModelChoice, display: Display) -> Result<Engine, CliError> {
    let is_watched = display.terminal.stderr;
    let spinner = Progress::spinner(is_watched, &format!("loading {}", clean(&model.name)));
    let mut downloads = None;
    let engine = Engine::load(&model.name, &model.options, &mut |step| match step {
        LoadProgress::Download(step) => {
            spinner.clear();
            downloads
                .get_or_insert_with(|| Downloads::new(is_watched))
                .step(&step);
        }
        LoadProgress::Weights { path } => {
            downloads = None;
            tracing::info!("loading {}", path.display());
        }
        LoadProgress::Tokenizer => {}
        LoadProgress::Note(note) => {
            spinner.clear();
            eprintln!("note: {}", clean(note));
        }
    })?;
    Ok(engine)
}

/// A request with everything but the messages taken from the options.
pub(crate) fn request(
    options: &AnswerOptions,
    effort: Option<EffortLevel>,
    messages: Vec<Message>,
) -> Request {
    let effort = effort.map(Into::into);
    Request {
        messages,
        effort_overrides: options.effort_overrides.or(options.config.level(effort)),
        sampling: options.sampling.clone(),
        max_tokens: options.max_tokens,
        stop: options.stop.clone(),
        effort,
        ..Request::default()
    }
}

/// Answers a request, or lets several answers vote, and shows what comes of it; Ctrl-C ends the
/// thought, then the answer.
pub(crate) fn answer(
    engine: &Engine,
    request: Request,
    weighing: Weighing,
    display: Display,
) -> Result<Answer, CliError> {
    let n_votes = engine.votes(&request);
    if n_votes > 1 {
        let voting = engine.vote(request, n_votes, weighing)?;
        let _cancellable = Cancellable::new(voting.canceller());
        return show_events(voting, display);
    }
    let generation = engine.generate(request)?;
    let _cancellable = Cancellable::new(generation.canceller());
    show_events(generation, display)
}

fn show_events<E: Into<CliError>>(
    events: impl Iterator<Item = Result<Event, E>>,
    display: Display,
) -> Result<Answer, CliError> {
    let answer = follow(events, display.view().as_mut())?;
    display.finish(&answer)?;
    Ok(answer)
}

/// How a program ends whose last answer this is.
pub(crate) fn outcome(answer: &Answer) -> Outcome {
    match answer.summary.finish_reason {
        FinishReason::Cancelled => Outcome::Interrupted,
        _ => Outcome::Done,
    }
}

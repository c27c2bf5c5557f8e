//! From a request to its events: [`Answers`] is what every endpoint that generates reads.
//!
//! Nothing is buffered between the engine and who polls: where a client takes nothing, nobody polls, and
//! the engine lets the answer rest. Dropping [`Answers`] ends the work within a step of the model.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use ponder_engine::{
    Canceller, Engine, EngineError, Event, Format, Generation, RawPrompt, Request, Voting, Weighing,
};
use tokio::sync::mpsc;

use crate::app::App;
use crate::http::{ApiError, Client};
use crate::metrics::Meter;
use crate::models::Lease;
use crate::running::Registered;
use crate::sampling;

/// Events of a vote that may wait for their reader.
const VOTE_EVENTS: usize = 16;

/// What is asked of the engine.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    pub(crate) request: Request,
    /// Texts of which each is continued as the request says; none: the request's own conversation is
    /// answered.
    pub(crate) prompts: Vec<RawPrompt>,
    /// Answers to each prompt. Those to the first one come first.
    pub(crate) n: usize,
    /// What counts where the answers vote.
    pub(crate) weighing: Weighing,
}

/// Who asks, and what the answer is called.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) id: String,
    pub(crate) client: Client,
}

/// Answers under way: a stream of events, each with the index of its answer. An answer's last event is
/// [`Event::Done`] or an error; the stream ends when all answers have.
#[derive(Debug)]
pub(crate) struct Answers {
    source: Source,
    registered: Registered,
    meter: Meter,
    app: Arc<App>,
    lease: Lease,
}

#[derive(Debug)]
enum Source {
    Each {
        generations: Vec<Option<Generation>>,
        /// Which is asked first, so that none is read last all the time.
        next: usize,
    },
    Vote {
        events: mpsc::Receiver<Result<Event, EngineError>>,
        canceller: Canceller,
    },
}

/// What the engine gives for an [`Ask`].
enum Started {
    Each(Vec<Generation>),
    Vote(Voting),
}

impl Answers {
    /// Starts to answer.
    ///
    /// # Errors
    /// What is wrong with the request, or that too many wait already.
    pub(crate) async fn start(
        app: &Arc<App>,
        lease: Lease,
        asker: Asker,
        ask: Ask,
    ) -> Result<Self, ApiError> {
        let mut ask = ask;
        sampling::check_ids(&ask.request.sampling, lease.engine.model().vocab_size)?;
        ask.request.client = asker.client.caller.0;
        ask.request.is_background = asker.client.is_background;
        let is_free = ask.request.format == Format::Text;
        let engine = Arc::clone(&lease.engine);
        // Rendering and encoding a long prompt takes milliseconds, which other requests need.
        let started = tokio::task::spawn_blocking(move || start(&engine, ask));
        let started = started.await.map_err(|_| ApiError::bug())?;
        let started = started
            .inspect_err(|error| note_failure(error, &lease))
            .map_err(|error| match error {
                // Where no format is asked for, it is that of calls.
                EngineError::Format(what) if is_free => ApiError::invalid("tools", what),
                other => other.into(),
            })?;
        Ok(Self::new(app, lease, asker, started))
    }

    fn new(app: &Arc<App>, lease: Lease, asker: Asker, started: Started) -> Self {
        let (source, cancellers) = match started {
            Started::Each(generations) => {
                let cancellers = generations.iter().map(Generation::canceller).collect();
                let generations = generations.into_iter().map(Some).collect();
                (
                    Source::Each {
                        generations,
                        next: 0,
                    },
                    cancellers,
                )
            }
            Started::Vote(voting) => {
                let canceller = voting.canceller();
                let events = read_vote(voting);
                (
                    Source::Vote {
                        events,
                        canceller: canceller.clone(),
                    },
                    vec![canceller],
                )
            }
        };
        let Asker { id, client } = asker;
        let (caller, connection) = (client.caller, client.connection);
        Self {
            meter: Meter::new(lease.id(), source.n()),
            registered: app.running.enter(&id, caller, cancellers, connection),
            source,
            app: Arc::clone(app),
            lease,
        }
    }

    /// How many answers there are.
    pub(crate) fn n(&self) -> usize {
        self.source.n()
    }
}

fn start(engine: &Engine, ask: Ask) -> Result<Started, EngineError> {
    let Ask {
        request,
        prompts,
        n,
        weighing,
    } = ask;
    if prompts.is_empty() {
        let votes = engine.votes(&request);
        return match n == 1 && votes > 1 {
            true => engine.vote(request, votes, weighing).map(Started::Vote),
            false => engine.generate_many(request, n).map(Started::Each),
        };
    }
    let mut all = Vec::new();
    for prompt in prompts {
        let request = Request {
            raw_prompt: Some(prompt),
            ..request.clone()
        };
        all.extend(engine.generate_many(request, n)?);
    }
    Ok(Started::Each(all))
}

/// A vote blocks while it waits, so a thread reads it.
fn read_vote(voting: Voting) -> mpsc::Receiver<Result<Event, EngineError>> {
    let (sender, events) = mpsc::channel(VOTE_EVENTS);
    tokio::task::spawn_blocking(move || {
        for event in voting {
            if sender.blocking_send(event).is_err() {
                break;
            }
        }
    });
    events
}

impl Source {
    fn n(&self) -> usize {
        match self {
            Self::Each { generations, .. } => generations.len(),
            Self::Vote { .. } => 1,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Item)>> {
        match self {
            Self::Vote { events, .. } => events
                .poll_recv(context)
                .map(|event| event.map(|event| (0, event))),
            Self::Each { generations, next } => {
                let n = generations.len();
                for i in (0..n).map(|i| (*next + i) % n.max(1)) {
                    let Some(generation) = &mut generations[i] else {
                        continue;
                    };
                    match generation.poll_next(context) {
                        Poll::Pending => {}
                        Poll::Ready(None) => generations[i] = None,
                        Poll::Ready(Some(event)) => {
                            *next = i + 1;
                            return Poll::Ready(Some((i, event)));
                        }
                    }
                }
                match generations.iter().all(Option::is_none) {
                    true => Poll::Ready(None),
                    false => Poll::Pending,
                }
            }
        }
    }
}

/// An event, or the error that ends an answer.
pub(crate) type Item = Result<Event, EngineError>;

impl Stream for Answers {
    type Item = (usize, Item);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.registered.set_ready(false);
        let polled = self.source.poll(context);
        if polled.is_ready() {
            self.registered.set_ready(true);
        }
        let this = &mut *self;
        match &polled {
            Poll::Ready(Some((index, Ok(event)))) => {
                this.meter.note(*index, event, &this.app.metrics);
            }
            Poll::Ready(Some((_, Err(error)))) => note_failure(error, &this.lease),
            _ => {}
        }
        polled
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // Generations end by being dropped; a vote is being read by a thread that waits for it.
        if let Source::Vote { canceller, .. } = &self.source {
            canceller.cancel();
        }
    }
}

/// A model whose thread has ended answers nobody any more.
fn note_failure(error: &EngineError, lease: &Lease) {
    if matches!(error, EngineError::WorkerGone) {
        tracing::error!(
            model = lease.id(),
            "the model has failed and is loaded anew when it is asked for"
        );
        lease.retire();
    }
}

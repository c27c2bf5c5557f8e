//! [`Engine`] and [`Generation`]: the handles that an edge holds.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
    mpsc,
};
use std::time::Instant;

use crate::{
    EngineError, Event, LoadOptions, LoadProgress, ModelInfo, Request,
    load::{self, Loaded},
    worker::{self, Job},
};

/// Events that may wait for a reader; the model pauses when there are more.
const EVENTS_IN_FLIGHT: usize = 64;

/// A loaded model. Cheap to share: all methods take `&self`.
#[derive(Debug)]
pub struct Engine {
    info: ModelInfo,
    text: Arc<load::TextParts>,
    jobs: Mutex<mpsc::Sender<Job>>,
}

impl Engine {
    /// Loads a model: a path, a hub id, a short name, as the README lists them.
    ///
    /// Files that are not in the local store are fetched, unless `options.offline`. `progress`
    /// hears of every step.
    ///
    /// # Errors
    /// Everything that can be wrong with a name, a download, a file or a configuration.
    pub fn load(
        model: &str,
        options: &LoadOptions,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<Self, EngineError> {
        let Loaded { info, text, model } = load::load(model, options, progress)?;
        let text = Arc::new(text);
        let jobs = worker::spawn(model, Arc::clone(&text), info.context, info.load_s);
        Ok(Self {
            info,
            text,
            jobs: Mutex::new(jobs),
        })
    }

    /// What was loaded.
    pub fn model(&self) -> &ModelInfo {
        &self.info
    }

    /// Starts to answer. The answer is read from the [`Generation`]; dropping it ends the work.
    ///
    /// # Errors
    /// What is wrong with the request itself: a prompt that is too long, sampling values out of
    /// range, a template that refuses the conversation.
    pub fn generate(&self, request: Request) -> Result<Generation, EngineError> {
        let asked = Instant::now();
        let prepared = self.text.prepare(request, self.info.context)?;
        let (events, receiver) = mpsc::sync_channel(EVENTS_IN_FLIGHT);
        let canceller = Canceller(Arc::default());
        let job = Job {
            prepared,
            events,
            canceller: canceller.clone(),
            asked,
        };
        let jobs = self.jobs.lock().map_err(|_| EngineError::WorkerGone)?;
        jobs.send(job).map_err(|_| EngineError::WorkerGone)?;
        Ok(Generation {
            receiver,
            canceller,
            ended: false,
        })
    }
}

/// An answer that is being made: an iterator of events, the last of which is [`Event::Done`] or an
/// error.
#[derive(Debug)]
pub struct Generation {
    receiver: mpsc::Receiver<Result<Event, EngineError>>,
    canceller: Canceller,
    ended: bool,
}

impl Generation {
    /// A handle that ends the answer from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl Iterator for Generation {
    type Item = Result<Event, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = self.receiver.recv().unwrap_or(Err(EngineError::WorkerGone));
        self.ended = matches!(event, Ok(Event::Done(_)) | Err(_));
        Some(event)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

/// Ends an answer: what was generated stays, and [`Event::Done`] follows.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// Ends the answer within one step of the model.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

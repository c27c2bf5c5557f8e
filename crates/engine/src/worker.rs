//! The thread that owns the model.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use ponder_runtime::decoder::Model;

use crate::{
    Canceller, EngineError, Event,
    generate::{Answer, History},
    load::TextParts,
    prompt::Prepared,
};

/// One request on its way to the model.
pub(crate) struct Job {
    pub(crate) prepared: Prepared,
    pub(crate) events: mpsc::SyncSender<Result<Event, EngineError>>,
    pub(crate) canceller: Canceller,
    pub(crate) asked: Instant,
}

/// Starts the thread. It ends when the sender is dropped.
pub(crate) fn spawn(
    model: Box<dyn Model>,
    text: Arc<TextParts>,
    context: usize,
    load_s: f64,
) -> mpsc::Sender<Job> {
    let (sender, jobs) = mpsc::channel::<Job>();
    std::thread::Builder::new()
        .name("ponder-model".into())
        .spawn(move || run(model, &text, context, load_s, &jobs))
        .expect("the system can start a thread");
    sender
}

fn run(
    mut model: Box<dyn Model>,
    text: &TextParts,
    context: usize,
    load_s: f64,
    jobs: &mpsc::Receiver<Job>,
) {
    let mut history = History::new(context);
    for job in jobs {
        let events = job.events.clone();
        let mut answer = Answer::new(model.as_mut(), text, job);
        let end = answer.run(&mut history, load_s);
        // A reader that has gone away has no use for the end either.
        let _ = events.send(end.map(Event::Done));
    }
}

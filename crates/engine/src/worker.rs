//! The thread that owns the model.

use std::sync::{
    Arc,
    mpsc::{self, Receiver, Sender},
};

use ponder_runtime::decoder::Model;

use crate::{
    EngineError,
    answer::Answer,
    driver::{Driver, Spare},
    embedding::Texts,
    occupancy::Gauges,
    outlet::{Address, Outlet},
    party::Party,
    schedule::Limits,
};

/// What the thread is told.
pub(crate) enum Message {
    /// Answers to one prompt.
    Ask {
        prompt: Vec<u32>,
        answers: Vec<Answer>,
    },
    /// A second answer from where the first is.
    Fork {
        of: Address,
        outlet: Outlet,
        seed: Option<u64>,
    },
    /// Texts to give as vectors.
    Embed(Texts),
    /// Something that was waited for has happened: events were taken, an answer was cancelled.
    Wake,
}

/// Starts the thread, with a model and, perhaps, what loads it elsewhere. It ends when nobody can send any more.
pub(crate) fn spawn(
    (model, spare): (Box<dyn Model>, Option<Spare>),
    vocab_size: usize,
    limits: Limits,
    gauges: Arc<Gauges>,
) -> Sender<Message> {
    let (sender, messages) = mpsc::channel();
    let start = move || Driver::new(model, vocab_size, limits, gauges).with_spare(spare);
    std::thread::Builder::new()
        .name("ponder-model".into())
        .spawn(move || run(start(), &messages))
        .expect("the system can start a thread");
    sender
}

fn run(mut driver: Driver<Party>, messages: &Receiver<Message>) {
    loop {
        messages
            .try_iter()
            .for_each(|message| take(&mut driver, message));
        let did_embed = driver.embed();
        let did_step = !driver.is_empty() && driver.step();
        let is_resting = !did_embed && !did_step;
        driver.tell();
        if is_resting {
            match messages.recv() {
                Ok(message) => take(&mut driver, message),
                Err(_) => return,
            }
        }
    }
}

fn take(driver: &mut Driver<Party>, message: Message) {
    match message {
        Message::Ask { prompt, answers } => {
            let answers = answers.into_iter().map(Box::new).map(Party::Answer);
            driver.push(prompt, answers.collect());
        }
        Message::Fork { of, outlet, seed } => {
            let mut unused = Some(outlet);
            driver.fork(
                |party| party.is_read_by(&of),
                |party| party.fork(unused.take()?, seed),
            );
            if let Some(outlet) = unused {
                outlet.send(Err(EngineError::Ended));
            }
        }
        Message::Embed(texts) => driver.push_texts(texts),
        Message::Wake => {}
    }
}

//! The thread that owns the model.

use std::sync::{
    Arc,
    mpsc::{self, Receiver, Sender},
};
use std::thread::{self, JoinHandle};

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

/// A handle on the thread. When the last one is dropped, the thread ends its step and gives back
/// what the model took; the drop waits for that, so that no model works on while the program ends.
#[derive(Clone, Debug)]
pub(crate) struct Worker(Arc<Thread>);

#[derive(Debug)]
struct Thread {
    /// `None` only while it is dropped, as `running`.
    messages: Option<Sender<Message>>,
    running: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread, with a model and, perhaps, what loads it elsewhere.
    pub(crate) fn of_model(
        (model, spare): (Box<dyn Model>, Option<Spare>),
        vocab_size: usize,
        limits: Limits,
        gauges: Arc<Gauges>,
    ) -> Self {
        let start = move || Driver::new(model, vocab_size, limits, gauges).with_spare(spare);
        Self::start(move |messages| run(start(), messages))
    }

    /// Starts a thread that is to end when nobody can send it messages any more.
    pub(crate) fn start(work: impl FnOnce(&Receiver<Message>) + Send + 'static) -> Self {
        let (sender, messages) = mpsc::channel();
        let running = thread::Builder::new()
            .name("ponder-model".into())
            .spawn(move || work(&messages))
            .expect("the system can start a thread");
        Self(Arc::new(Thread {
            messages: Some(sender),
            running: Some(running),
        }))
    }

    /// # Errors
    /// [`EngineError::WorkerGone`].
    pub(crate) fn send(&self, message: Message) -> Result<(), EngineError> {
        let sent = self.0.messages.as_ref().map(|to| to.send(message).ok());
        sent.flatten().ok_or(EngineError::WorkerGone)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.messages.take());
        let running = self.running.take();
        // The thread itself may drop the last one, with a task that it woke.
        let others = running.filter(|thread| thread.thread().id() != thread::current().id());
        if let Some(thread) = others {
            // It tells what it panicked of where that happens.
            let _ = thread.join();
        }
    }
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

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    };
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_handle_waits_for_the_thread_to_end() {
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        let worker = Worker::start(move |messages| {
            messages.iter().for_each(drop);
            thread::sleep(Duration::from_millis(20));
            ended.store(true, Ordering::Release);
        });
        drop(worker.clone());
        worker.send(Message::Wake).expect("it goes on");
        drop(worker);
        assert!(has_ended.load(Ordering::Acquire));
    }

    #[test]
    fn the_thread_may_hold_the_last_handle() {
        let (hand, handed) = mpsc::channel::<Worker>();
        let (ended, has_ended) = mpsc::channel();
        let worker = Worker::start(move |messages| {
            drop(handed.recv().expect("a handle"));
            messages.iter().for_each(drop);
            let _ = ended.send(());
        });
        hand.send(worker).expect("it waits for one");
        let waited = has_ended.recv_timeout(Duration::from_secs(20));
        waited.expect("it does not wait for itself");
    }
}

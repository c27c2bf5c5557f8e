//! [`Engine`] and [`Generation`]: the handles that an edge holds.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use crate::{
    Canceller, DeviceMeter, EngineError, Event, LoadOptions, LoadProgress, MemoryPlace, ModelInfo,
    Occupancy, RawPrompt, Request, Voting, Weighing,
    answer::{Answer, other_seed},
    embedding::Texts,
    inspect::Rendered,
    load::{self, Loaded},
    occupancy::Gauges,
    outlet::{self, Inlet},
    schedule::Limits,
    worker::{Message, Worker},
};

/// A loaded model. Cheap to share: all methods take `&self`. The last to be dropped, of the engine and
/// of its generations, waits until the step under way has ended and the model has given back what it took.
#[derive(Debug)]
pub struct Engine {
    info: ModelInfo,
    text: Arc<load::TextParts>,
    worker: Worker,
    gauges: Arc<Gauges>,
    /// Answers that may be under way, those that wait included.
    max_answers: usize,
    prompt_lookup: bool,
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
        Ok(Self::start(load::load(model, options, progress)?, options))
    }

    fn start(loaded: Loaded, options: &LoadOptions) -> Self {
        let Loaded {
            info,
            text,
            model,
            spare,
            meter,
        } = loaded;
        let limits = Limits::new(options.n_sequences(), info.context, model.prefill_rows());
        let gauges = Gauges::new(meter);
        let model = (model, spare);
        let worker = Worker::of_model(model, text.vocab_size, limits, Arc::clone(&gauges));
        let max_waiting = options.max_waiting.unwrap_or(usize::MAX);
        Self {
            worker,
            gauges,
            max_answers: options.n_sequences().saturating_add(max_waiting),
            info,
            text: Arc::new(text),
            prompt_lookup: options.prompt_lookup,
        }
    }

    /// What was loaded.
    pub fn model(&self) -> &ModelInfo {
        &self.info
    }

    /// Where the model runs, as `--device` calls it: where it was loaded, until it has lost that device and
    /// goes on without.
    pub fn runs_on(&self) -> &str {
        let loaded = self.info.device.as_deref();
        let here = loaded.filter(|_| !self.gauges.has_lost_device());
        here.unwrap_or("cpu")
    }

    /// Whose memory the model takes: as it was loaded, until it has lost its device and goes on in the
    /// machine's alone.
    pub fn places(&self) -> &[MemoryPlace] {
        match self.gauges.has_lost_device() {
            true => &[MemoryPlace::Machine],
            false => &self.info.places,
        }
    }

    /// What tells how much of a device the model uses; `None` where it runs on the processor alone.
    pub fn device(&self) -> Option<&dyn DeviceMeter> {
        self.gauges.device()
    }

    /// Starts to answer. The answer is read from the [`Generation`]; dropping it ends the work.
    /// Several requests are answered side by side, up to [`LoadOptions::max_sequences`]; more wait
    /// in the order they came, but in turns where several [clients](Request::client) wait. An answer
    /// whose events nobody reads rests; the others go on.
    ///
    /// # Errors
    /// What is wrong with the request itself: a prompt that is too long, sampling values out of
    /// range, a template that refuses the conversation; and that too many wait already.
    pub fn generate(&self, request: Request) -> Result<Generation, EngineError> {
        let mut one = self.generate_many(request, 1)?;
        one.pop().ok_or(EngineError::WorkerGone)
    }

    /// Starts `n` answers to one request. The prompt is computed once. The first answer is the one
    /// that [`Engine::generate`] gives; the others draw with seeds that follow from its seed.
    ///
    /// # Errors
    /// As [`Engine::generate`].
    pub fn generate_many(
        &self,
        request: Request,
        n: usize,
    ) -> Result<Vec<Generation>, EngineError> {
        let asked = Instant::now();
        let mut prepared = self.text.prepare(request, self.info.context)?;
        prepared.with_drafts &= self.prompt_lookup;
        let tickets = self.gauges.enter(n, self.max_answers);
        let tickets = tickets.map_err(|answers| EngineError::Busy {
            waiting: answers.saturating_sub(self.gauges.read().running),
        })?;
        let (mut answers, mut generations) = (Vec::new(), Vec::new());
        for (i, ticket) in (0..).zip(tickets) {
            let (outlet, inlet) = outlet::channel(&self.worker);
            let ends = (outlet, ticket);
            let mut answer = Answer::new(&self.text, &prepared, ends, asked, self.info.load_s);
            if i > 0 {
                answer.reseed(other_seed(answer.seed(), i));
            }
            answers.push(answer);
            generations.push(Generation::new(inlet));
        }
        let prompt = prepared.prompt;
        let ask = Message::Ask { prompt, answers };
        self.worker.send(ask)?;
        Ok(generations)
    }
}

impl Engine {
    /// The text that the model sees of a request, and its tokens, without asking it; of a raw prompt
    /// only the tokens.
    ///
    /// # Errors
    /// A template that refuses the conversation; no messages, or an empty prompt.
    pub fn render(&self, request: &Request) -> Result<Rendered, EngineError> {
        let effort = self.info.effort(request.effort, request.effort_overrides);
        let (prompt, ids) = self.text.prompt(request, &effort, self.info.context)?;
        Ok(Rendered { prompt, ids })
    }

    /// The tokens of a text; with `add_special` also what the model's tokenizer puts around one.
    ///
    /// # Errors
    /// Where the tokenizer refuses the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, EngineError> {
        Ok(self.text.tokenizer.encode(text, add_special)?)
    }

    /// The text of tokens, control tokens included. What is no UTF-8, and ids that no token has,
    /// become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.text.tokenizer.decode(ids, false)
    }

    /// The bytes that a token adds to a text; none for an id that no token has.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        self.text.tokenizer.token_bytes(id)
    }

    /// Texts as vectors of length 1, in their order, and the tokens that each of them has.
    ///
    /// # Errors
    /// [`EngineError::NoEmbeddings`] for a model that is not made for it; what is wrong with a text:
    /// that it is empty or too long.
    pub fn embed(&self, texts: &[RawPrompt]) -> Result<Vec<(Vec<f32>, usize)>, EngineError> {
        let pooling = self.info.pooling;
        let pooling = pooling.ok_or_else(|| EngineError::NoEmbeddings(self.info.name.clone()))?;
        let ids = texts
            .iter()
            .map(|text| self.text.text_ids(text, self.info.context));
        let ids = ids.collect::<Result<VecDeque<_>, _>>()?;
        let n_tokens: Vec<_> = ids.iter().map(Vec::len).collect();
        let (to, vectors) = mpsc::channel();
        self.worker
            .send(Message::Embed(Texts { ids, pooling, to }))?;
        let next = |n| Ok((vectors.recv().map_err(|_| EngineError::WorkerGone)??, n));
        n_tokens.into_iter().map(next).collect()
    }

    /// How busy it is now.
    pub fn occupancy(&self) -> Occupancy {
        self.gauges.read()
    }

    /// How many answers are to vote on a request, by its level and what it asks for beside it.
    pub fn votes(&self, request: &Request) -> usize {
        let effort = self.text.profile;
        effort
            .resolve(request.effort, request.effort_overrides)
            .votes
            .max(1)
    }

    /// Starts `n` answers to one request, which vote; see [`Voting`].
    ///
    /// # Errors
    /// As [`Engine::generate`].
    pub fn vote(
        &self,
        mut request: Request,
        n: usize,
        weighing: Weighing,
    ) -> Result<Voting, EngineError> {
        // As many alternatives as the confidence of a token is defined by.
        request.sampling.logprobs.get_or_insert(20);
        let generations = self.generate_many(request, n.max(1))?;
        Ok(Voting::new(generations, weighing))
    }
}

/// An answer that is being made: an iterator of events, the last of which is [`Event::Done`] or an
/// error.
#[derive(Debug)]
pub struct Generation {
    inlet: Inlet,
    ended: bool,
}

impl Generation {
    fn new(inlet: Inlet) -> Self {
        Self {
            inlet,
            ended: false,
        }
    }

    /// A handle that ends the answer, or its thought, from another thread.
    pub fn canceller(&self) -> Canceller {
        self.inlet.canceller()
    }

    /// Ends the thinking, and the answer follows; see [`Canceller::answer_now`].
    pub fn answer_now(&self) {
        self.canceller().answer_now();
    }

    /// A second answer from where this one is now: it has said and counted the same so far, its
    /// events begin with what comes next, and it draws with `seed`, or one that follows from this
    /// answer's seed. Nothing is computed again, and what both have in common is stored once.
    ///
    /// "Now" is what the model has said, which may be ahead of the events that were read. An answer
    /// that has ended cannot be forked: the first and only event is then [`EngineError::Ended`].
    ///
    /// # Errors
    /// When the thread that runs the model is gone.
    pub fn fork(&self, seed: Option<u64>) -> Result<Self, EngineError> {
        let (outlet, inlet) = outlet::channel(self.inlet.worker());
        let fork = Message::Fork {
            of: self.inlet.address(),
            outlet,
            seed,
        };
        self.inlet.worker().send(fork)?;
        Ok(Self::new(inlet))
    }
}

impl Generation {
    /// As [`Iterator::next`], for a task of an asynchronous program: where nothing has come yet, the
    /// task is woken when something does.
    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<<Self as Iterator>::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = ready!(self.inlet.poll_recv(context));
        Poll::Ready(Some(self.note_end(item)))
    }

    fn note_end(&mut self, item: Option<Result<Event, EngineError>>) -> Result<Event, EngineError> {
        let event = item.unwrap_or(Err(EngineError::WorkerGone));
        self.ended = matches!(event, Ok(Event::Done(_)) | Err(_));
        event
    }
}

impl Iterator for Generation {
    type Item = Result<Event, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.inlet.recv();
        Some(self.note_end(item))
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.ended {
            self.canceller().cancel();
        }
    }
}

#[cfg(test)]
mod tests;

//! Steps of the model, and what its logits become.
//!
//! [`Driver::step`]: end what was cancelled → [plan](crate::schedule) → add [drafts](crate::draft) →
//! one forward pass → each sequence draws its tokens → answers that have shared a sequence and now
//! differ get their own → what is finished ends → roll back what was drafted wrongly.

mod branch;
mod consumer;
mod failure;
mod rounds;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ponder_runtime::{
    cache::BLOCK_LEN,
    decoder::{DecoderError, Logits, Model, Step},
};

use crate::{
    EngineError, FinishReason,
    draft::{MAX_DRAFTS, Rows, StepTimes},
    embedding::Texts,
    occupancy::Gauges,
    schedule::{Entry, Limits, Scheduler},
};

use branch::{Branch, draw, tell_progress};
pub(crate) use consumer::{Asked, Consumer, Drawn, Taken};
use rounds::Rounds;

/// Says what time it is, since whenever.
pub(crate) type Clock = Box<dyn Fn() -> Duration + Send>;

/// Loads the model elsewhere, where its device is lost.
pub(crate) type Spare = Box<dyn FnOnce() -> Result<Box<dyn Model>, EngineError> + Send>;

/// A model with the sequences that it works on.
pub(crate) struct Driver<C> {
    model: Box<dyn Model>,
    spare: Option<Spare>,
    vocab_size: usize,
    scheduler: Scheduler<Branch<C>>,
    gauges: Arc<Gauges>,
    times: StepTimes,
    clock: Clock,
    drafts: Vec<u32>,
    row: Vec<f32>,
    rounds: Rounds,
    /// Memory of the list of steps, which is empty between steps.
    steps: Vec<Step<'static>>,
    removed: Vec<Branch<C>>,
    /// Texts to give as vectors, one between two steps.
    texts: VecDeque<Texts>,
}

impl<C: Consumer> Driver<C> {
    pub(crate) fn new(
        model: Box<dyn Model>,
        vocab_size: usize,
        limits: Limits,
        gauges: Arc<Gauges>,
    ) -> Self {
        let began = Instant::now();
        let clock = Box::new(move || began.elapsed());
        Self::with_clock(model, vocab_size, limits, gauges, clock)
    }

    /// As [`Driver::new`], with steps timed by `clock`.
    pub(crate) fn with_clock(
        model: Box<dyn Model>,
        vocab_size: usize,
        limits: Limits,
        gauges: Arc<Gauges>,
        clock: Clock,
    ) -> Self {
        Self {
            model,
            spare: None,
            vocab_size,
            scheduler: Scheduler::new(limits),
            gauges,
            times: StepTimes::new(),
            clock,
            drafts: Vec::new(),
            row: Vec::new(),
            rounds: Rounds::default(),
            steps: Vec::new(),
            removed: Vec::new(),
            texts: VecDeque::new(),
        }
    }

    /// The same, which goes on elsewhere where the device is lost.
    pub(crate) fn with_spare(mut self, spare: Option<Spare>) -> Self {
        self.spare = spare;
        self
    }

    /// Answers to one prompt, which is computed once. `prompt` holds a token at least.
    pub(crate) fn push(&mut self, prompt: Vec<u32>, mut answers: Vec<C>) {
        if !answers.is_empty() {
            let siblings = answers.split_off(1);
            let (turn, uses_prefix_cache) = (answers[0].turn(), answers[0].uses_prefix_cache());
            let branch = Branch::new(answers.remove(0), siblings);
            let entry = self.scheduler.push(prompt, turn, branch);
            entry.uses_prefix_cache = uses_prefix_cache;
        }
    }

    /// Texts to give as vectors.
    pub(crate) fn push_texts(&mut self, texts: Texts) {
        self.texts.push_back(texts);
    }

    /// Gives the next text as a vector, if there is one and room for it. Returns whether it did, or tried.
    pub(crate) fn embed(&mut self) -> bool {
        let is_alone = self.scheduler.running().is_empty();
        let Some(texts) = self.texts.front_mut() else {
            return false;
        };
        let did = match texts.next(self.model.as_mut(), is_alone) {
            Ok(did) => did,
            // It comes again.
            Err(error) if error.is_lost() && self.moves(&error) => true,
            Err(error) => {
                self.texts[0].fail(error.into());
                true
            }
        };
        self.texts.retain(|texts| !texts.ids.is_empty());
        did
    }

    /// Lets `twin` make a second answer from where the first is now, if `is_it` finds that one.
    ///
    /// The two share the sequence until the next token: only then one of them needs its own.
    pub(crate) fn fork(
        &mut self,
        is_it: impl Fn(&C) -> bool,
        mut twin: impl FnMut(&mut C) -> Option<C>,
    ) {
        for entry in self.scheduler.entries_mut() {
            let branch = &mut entry.payload;
            let mut sharing = branch.consumers_mut();
            let new = sharing.find(|consumer| is_it(consumer)).and_then(&mut twin);
            drop(sharing);
            branch.siblings.extend(new);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.scheduler.is_empty()
    }

    /// Says how busy it is.
    pub(crate) fn tell(&self) {
        let running = self.scheduler.running().iter();
        let n_running = running.map(|entry| 1 + entry.payload.siblings.len()).sum();
        let cache = self.model.cache();
        let n_tokens = cache.capacity().n_blocks * BLOCK_LEN;
        let n_used = n_tokens.saturating_sub(cache.free_tokens());
        self.gauges.set(n_running, n_used, n_tokens);
    }

    /// Does what can be done in one forward pass. Returns `false` where there is nothing to do until
    /// somebody takes events, or comes.
    pub(crate) fn step(&mut self) -> bool {
        match self.try_step() {
            Ok(did_something) => did_something,
            Err(error) => {
                if !self.goes_on(&error) {
                    self.fail(error);
                }
                true
            }
        }
    }

    fn try_step(&mut self) -> Result<bool, EngineError> {
        self.end_cancelled()?;
        self.look_ahead()?;
        for entry in self.scheduler.entries_mut() {
            entry.is_paused = entry.payload.consumers().all(C::is_paused);
        }
        if let Some(full) = self.scheduler.plan(self.model.as_mut())? {
            // What was said stays; there is no room for more.
            full.finish(|| Ok(FinishReason::Length));
            return Ok(true);
        }
        self.tell();
        let running = self.scheduler.running_mut();
        let n_rows: usize = running.iter().map(Entry::n_fed).sum();
        if n_rows == 0 {
            return Ok(false);
        }
        running.iter_mut().for_each(tell_progress);
        let is_decoding = running
            .iter()
            .all(|entry| entry.n_fed() <= 1 && entry.n_fed() == entry.n_rows());
        if is_decoding {
            self.add_drafts(n_rows)?;
        }
        self.forward(is_decoding)?;
        self.separate_siblings()?;
        self.end_finished()?;
        self.scheduler.settle(self.model.as_mut())?;
        Ok(true)
    }

    /// Forks the sequences of those who want to look ahead, as long as there are places.
    fn look_ahead(&mut self) -> Result<(), DecoderError> {
        for index in 0..self.scheduler.running().len() {
            if !self.scheduler.has_place() {
                return Ok(());
            }
            let entry = &mut self.scheduler.running_mut()[index];
            if !entry.is_decoding() || !entry.payload.siblings.is_empty() {
                continue;
            }
            let n_shared = entry.known().len();
            self.drafts.clear();
            let look = entry.payload.consumer.look_ahead(&mut self.drafts);
            if let Some((looker, n_back)) = look {
                let branch = Branch::new(looker, Vec::new());
                let model = self.model.as_mut();
                // The last token is not computed yet, so that one may be left out.
                self.scheduler
                    .fork(index, n_shared - n_back, &self.drafts, model, branch)?;
            }
        }
        Ok(())
    }

    /// Adds drafts to a step of `rows` rows in which every sequence gets one token.
    fn add_drafts(&mut self, rows: usize) -> Result<(), DecoderError> {
        let mut total = rows;
        let is_recurrent = !self.model.cache().plan().recurrent.is_empty();
        for index in 0..self.scheduler.running().len() {
            let left = MAX_DRAFTS - (total - rows);
            let entry = &mut self.scheduler.running_mut()[index];
            let wanted = entry.payload.consumer.max_drafts().min(left);
            if entry.n_fed() == 0 || !entry.payload.siblings.is_empty() {
                continue;
            }
            self.drafts.clear();
            entry.payload.consumer.forced(&mut self.drafts);
            if !self.drafts.is_empty() {
                // What is certain to come is worth its rows: each saves a step.
                self.drafts.truncate(left);
                entry.payload.is_certain = true;
                let model = self.model.as_mut();
                self.scheduler.draft(index, &self.drafts, model)?;
                total += self.scheduler.running()[index].n_drafts();
                continue;
            }
            if wanted == 0 {
                continue;
            }
            let mut lookup = std::mem::take(&mut entry.payload.lookup);
            lookup.update(entry.known());
            self.drafts.clear();
            lookup.draft(entry.known(), wanted, &mut self.drafts);
            let branch = &mut entry.payload;
            branch.lookup = lookup;
            let rows = Rows {
                now: total,
                generating: rows,
                is_recurrent,
            };
            let n = branch.gate.choose(&self.times, rows, self.drafts.len());
            self.drafts.truncate(n);
            if n > 0 {
                let model = self.model.as_mut();
                self.scheduler.draft(index, &self.drafts, model)?;
                total += self.scheduler.running()[index].n_drafts();
            }
        }
        Ok(())
    }

    fn forward(&mut self, is_decoding: bool) -> Result<(), EngineError> {
        let mut steps = emptied(std::mem::take(&mut self.steps));
        steps.extend(self.scheduler.running().iter().filter_map(Entry::step));
        let n_rows = steps.iter().map(|step| step.tokens.len()).sum();
        let began = (self.clock)();
        let logits = self.model.step(&steps);
        self.steps = emptied(steps);
        let observe = |times: &mut StepTimes| {
            if is_decoding {
                let seconds = (self.clock)().saturating_sub(began).as_secs_f64();
                times.observe(n_rows, seconds);
            }
        };
        let running = self.scheduler.running_mut();
        match logits? {
            Logits::Here(logits) => {
                observe(&mut self.times);
                let mut rows = logits.chunks_exact_mut(self.vocab_size);
                for entry in running {
                    let (n_rows, n_drafts) = advance(entry);
                    let mut own = rows.by_ref().take(n_rows);
                    draw(entry, n_drafts, &mut own, &mut self.row);
                    // Rows after a draft that was wrong belong to no text.
                    own.for_each(drop);
                }
            }
            Logits::Kept(logits) => {
                let mut row = 0;
                for (index, entry) in running.iter_mut().enumerate() {
                    let (n_rows, n_drafts) = advance(entry);
                    if n_rows > 0 {
                        self.rounds.push(index, row, n_rows, n_drafts);
                    }
                    row += n_rows;
                }
                let mut is_first = true;
                while !self.rounds.is_empty() {
                    let drawn = self.rounds.draw(running, logits, &mut self.row);
                    drawn.map_err(DecoderError::from)?;
                    // The first one has waited for the step.
                    if std::mem::take(&mut is_first) {
                        observe(&mut self.times);
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives answers that differ from now on their own sequences.
    fn separate_siblings(&mut self) -> Result<(), DecoderError> {
        for index in 0..self.scheduler.running().len() {
            let branch = &mut self.scheduler.running_mut()[index].payload;
            if branch.drawn.is_empty() {
                continue;
            }
            let siblings = std::mem::take(&mut branch.siblings);
            let drawn = std::mem::take(&mut branch.drawn);
            let (n_shared, gate) = (branch.n_shared, branch.gate.clone());
            for (sibling, drawn) in siblings.into_iter().zip(drawn) {
                match drawn {
                    Err(error) => sibling.finish(Err(error)),
                    Ok(Drawn { end: Some(end), .. }) => sibling.finish(Ok(end)),
                    Ok(Drawn { token, end: None }) => {
                        let mut branch = Branch::new(sibling, Vec::new());
                        branch.gate = gate.clone();
                        self.scheduler.fork(
                            index,
                            n_shared,
                            &[token],
                            self.model.as_mut(),
                            branch,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }

    fn end_cancelled(&mut self) -> Result<(), DecoderError> {
        for entry in self.scheduler.entries_mut() {
            let branch = &mut entry.payload;
            for sibling in branch
                .siblings
                .extract_if(.., |sibling| sibling.is_cancelled())
            {
                sibling.finish(Ok(FinishReason::Cancelled));
            }
            if !branch.consumer.is_cancelled() {
                continue;
            }
            match branch.siblings.pop() {
                Some(heir) => std::mem::replace(&mut branch.consumer, heir)
                    .finish(Ok(FinishReason::Cancelled)),
                None => branch.end = Some(Ok(FinishReason::Cancelled)),
            }
        }
        self.end_finished()
    }

    fn end_finished(&mut self) -> Result<(), DecoderError> {
        let is_over = |entry: &mut Entry<Branch<C>>| entry.payload.end.is_some();
        let removed = &mut self.removed;
        let freed = self.scheduler.remove(is_over, self.model.as_mut(), removed);
        for mut branch in self.removed.drain(..) {
            if let Some(end) = branch.end.take() {
                branch.consumer.finish(end);
            }
        }
        freed
    }
}

/// The step was done, or will be when its logits are looked at. Returns its rows of logits, and its drafts.
fn advance<C: Consumer>(entry: &mut Entry<Branch<C>>) -> (usize, usize) {
    let (is_fed, n_rows, n_drafts) = (entry.n_fed() > 0, entry.n_rows(), entry.n_drafts());
    entry.advance();
    if is_fed {
        tell_progress(entry);
    }
    (n_rows, n_drafts)
}

/// An empty list with the memory of another.
fn emptied<'a>(mut steps: Vec<Step<'_>>) -> Vec<Step<'a>> {
    steps.clear();
    // The standard library collects in place where the sizes are equal.
    steps
        .into_iter()
        .map(|_| unreachable!("the list is empty"))
        .collect()
}

#[cfg(test)]
mod tests;

//! Which sequences get how many tokens in the next step.
//!
//! A policy that never touches a tensor: of the model it only uses the bookkeeping (open, fork,
//! truncate, free).
//!
//! 1. [`Scheduler::push`]: a sequence arrives and waits.
//! 2. [`Scheduler::plan`]: all sequences that generate get one token each. What is left of the
//!    step's tokens goes to prompts, first come first served; the answers being generated must not
//!    wait long for that, so it is less when there are any. Sequences that wait are let in when
//!    their whole prompt fits, first those of clients that have fewest; what is in the background
//!    comes after everything else, and gives way to it. When blocks run out, the sequence that arrived last gives its own
//!    back and waits again; where others wait, so does one whose reader takes nothing.
//! 3. The steps of [`Scheduler::running`] are run; each entry is told [`Entry::advance`] and
//!    [`Entry::accept`].
//! 4. Where the device had no memory for the step, [`Scheduler::shrink`] undoes it.
//! 5. [`Scheduler::settle`] rolls back what was drafted wrongly. A recurrent state goes back to where
//!    it was before all drafts; the right ones come again with the next token.

mod entry;
mod shrink;

pub(crate) use entry::{Entry, Turn};

use ponder_runtime::{
    cache::{BLOCK_LEN, CacheError, Opened, Room},
    decoder::{DecoderError, Model},
};

/// What a step may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Sequences that run at a time.
    pub(crate) max_sequences: usize,
    /// Tokens that prompt and answer may have; announced to the model.
    pub(crate) context: usize,
    /// Prompt tokens in a step in which no answer is generated.
    pub(crate) chunk_alone: usize,
    /// Prompt tokens in a step in which answers are generated too.
    pub(crate) chunk_beside: usize,
    /// Whether sequences may get drafts.
    pub(crate) with_drafts: bool,
}

impl Limits {
    /// `prefill_rows`: prompt tokens in a step that suit the model.
    pub(crate) fn new(max_sequences: usize, context: usize, prefill_rows: usize) -> Self {
        let limits = Self {
            max_sequences,
            context,
            chunk_alone: 0,
            chunk_beside: 0,
            with_drafts: true,
        };
        limits.with_prefill_rows(prefill_rows)
    }

    fn with_prefill_rows(self, prefill_rows: usize) -> Self {
        Self {
            chunk_alone: prefill_rows,
            // Fewer, so that answers do not stutter.
            chunk_beside: (prefill_rows / 4).max(1),
            ..self
        }
    }
}

/// All sequences, in order of arrival.
pub(crate) struct Scheduler<T> {
    limits: Limits,
    /// Those that hold unless the device had no memory for a step.
    usual: Limits,
    running: Vec<Entry<T>>,
    waiting: Vec<Entry<T>>,
    room: Room,
    arrived: u64,
}

impl<T> Scheduler<T> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            usual: limits,
            running: Vec::new(),
            waiting: Vec::new(),
            room: Room::default(),
            arrived: 0,
        }
    }

    /// A sequence arrives. `tokens` holds one at least.
    pub(crate) fn push(&mut self, tokens: Vec<u32>, turn: Turn, payload: T) -> &mut Entry<T> {
        if self.is_empty() {
            // Whoever else took the device's memory may have given it back.
            self.limits = self.usual;
        }
        let entry = Entry::new(self.next_key(), turn, tokens, payload);
        self.waiting.push_mut(entry)
    }

    /// Whether another sequence may run.
    pub(crate) fn has_place(&self) -> bool {
        self.running.len() < self.limits.max_sequences
    }

    /// A sequence with the first `n_shared` tokens of the running one at `index`, which are all that
    /// it has computed or one more, and then others. Where another may run, nothing is computed again;
    /// else it waits.
    pub(crate) fn fork(
        &mut self,
        index: usize,
        n_shared: usize,
        others: &[u32],
        model: &mut dyn Model,
        payload: T,
    ) -> Result<(), DecoderError> {
        let key = self.next_key();
        let first = &self.running[index];
        let tokens = [&first.tokens[..n_shared], others].concat();
        let (n_computed, cached, sequence) = (first.n_computed, first.cached, first.sequence);
        let mut twin = Entry::new(key, first.turn, tokens, payload);
        twin.cached = cached;
        match sequence.filter(|_| self.has_place()) {
            Some(sequence) => {
                twin.sequence = Some(model.fork(sequence)?);
                twin.n_computed = n_computed;
                self.running.push(twin);
            }
            None => self.waiting.push(twin),
        }
        Ok(())
    }

    /// Sequences with a place in the cache.
    pub(crate) fn running(&self) -> &[Entry<T>] {
        &self.running
    }

    /// Sequences with a place in the cache.
    pub(crate) fn running_mut(&mut self) -> &mut [Entry<T>] {
        &mut self.running
    }

    /// All sequences.
    pub(crate) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry<T>> {
        self.running.iter_mut().chain(&mut self.waiting)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Decides on the next step. Returns a sequence that must end because it fills the whole cache.
    pub(crate) fn plan(&mut self, model: &mut dyn Model) -> Result<Option<T>, DecoderError> {
        self.running.iter_mut().for_each(|entry| entry.n_fed = 0);
        self.room.clear();
        if let Some(full) = self.feed_answers(model)? {
            return Ok(Some(full));
        }
        let is_answering = self.running.iter().any(|entry| entry.n_fed > 0);
        let mut budget = match is_answering {
            true => self.limits.chunk_beside,
            false => self.limits.chunk_alone,
        };
        for is_background in [false, true] {
            if let Some(full) = self.feed_prompts(is_background, model, &mut budget)? {
                return Ok(Some(full));
            }
            if let Some(full) = self.admit(is_background, model, &mut budget)? {
                return Ok(Some(full));
            }
        }
        Ok(None)
    }

    /// Adds drafts to a sequence that is about to get one token. Nobody has to make room for them.
    pub(crate) fn draft(
        &mut self,
        index: usize,
        drafts: &[u32],
        model: &mut dyn Model,
    ) -> Result<(), DecoderError> {
        let entry = &mut self.running[index];
        let may = self.limits.with_drafts && entry.n_fed == 1;
        let Some(sequence) = entry.sequence.filter(|_| may) else {
            return Ok(());
        };
        let has_room = model
            .cache()
            .fits(&mut self.room, sequence, 1 + drafts.len())?;
        if has_room && model.save(sequence)? {
            entry.tokens.extend_from_slice(drafts);
            entry.n_fed += drafts.len();
        }
        Ok(())
    }

    /// After a step: takes back what was computed of drafts that were not drawn.
    pub(crate) fn settle(&mut self, model: &mut dyn Model) -> Result<(), DecoderError> {
        for entry in &mut self.running {
            if let (Some(len), Some(sequence)) = (entry.settle(), entry.sequence) {
                entry.go_back(model.truncate(sequence, len)?);
            }
        }
        Ok(())
    }

    /// Takes sequences out whose time has come; what they computed stays for later prompts.
    pub(crate) fn remove(
        &mut self,
        mut is_over: impl FnMut(&mut Entry<T>) -> bool,
        model: &mut dyn Model,
        removed: &mut Vec<T>,
    ) -> Result<(), DecoderError> {
        for mut entry in self.running.extract_if(.., &mut is_over) {
            if let Some(sequence) = entry.sequence {
                if let Some(len) = entry.settle() {
                    // Drafts beyond the end would be in the way of what goes on from there. Where
                    // nothing was saved the last token stays, which is as good.
                    let _ = model.truncate(sequence, len);
                }
                model.free(sequence)?;
            }
            removed.push(entry.payload);
        }
        let waiting = self.waiting.extract_if(.., &mut is_over);
        removed.extend(waiting.map(|entry| entry.payload));
        Ok(())
    }

    fn next_key(&mut self) -> u64 {
        self.arrived += 1;
        self.arrived
    }

    /// One token for each sequence that generates, and those before it that were undone.
    fn feed_answers(&mut self, model: &mut dyn Model) -> Result<Option<T>, DecoderError> {
        let mut index = 0;
        'entries: while index < self.running.len() {
            let entry = &self.running[index];
            if !entry.is_decoding() || entry.is_paused {
                index += 1;
                continue;
            }
            let (key, n) = (entry.key, entry.n_pending());
            while !self.fits(model, index, n)? {
                if self.preempt(index, model)? {
                    // What gave way may have stood before this one.
                    index = self.index_of(key);
                } else if self.running.len() == 1 {
                    return self.give_up(model).map(Some);
                } else {
                    // In the background, it may stand before others.
                    self.preempt_at(index, model)?;
                    continue 'entries;
                }
            }
            self.running[index].n_fed = n;
            index += 1;
        }
        Ok(None)
    }

    /// Chunks of prompts that are under way.
    fn feed_prompts(
        &mut self,
        is_background: bool,
        model: &mut dyn Model,
        budget: &mut usize,
    ) -> Result<Option<T>, DecoderError> {
        let mut index = 0;
        while index < self.running.len() && *budget > 0 {
            let entry = &self.running[index];
            let is_other = entry.turn.is_background != is_background;
            if entry.n_fed > 0 || entry.is_paused || entry.is_decoding() || is_other {
                index += 1;
                continue;
            }
            let key = entry.key;
            let mut n = chunk(entry.n_computed, entry.n_pending(), *budget, model);
            while !self.fits(model, index, n)? {
                if self.preempt(index, model)? {
                    index = self.index_of(key);
                } else if n > 1 {
                    n /= 2;
                } else if index == 0 && self.running.len() == 1 {
                    return self.give_up(model).map(Some);
                } else {
                    // Those who came before will end some time.
                    return Ok(None);
                }
            }
            self.running[index].n_fed = n;
            *budget -= n;
            index += 1;
        }
        Ok(None)
    }

    /// Lets sequences in that wait, as long as there is room for all that is known of everybody. For
    /// them, sequences that rest give up their places.
    fn admit(
        &mut self,
        is_background: bool,
        model: &mut dyn Model,
        budget: &mut usize,
    ) -> Result<Option<T>, DecoderError> {
        while *budget > 0
            && let Some(first) = self.next_waiting(is_background)
        {
            if self.running.len() >= self.limits.max_sequences {
                if self.preempt_for(is_background, model)? {
                    continue;
                }
                return Ok(None);
            }
            if !self.running.is_empty() && !self.has_room_for(&self.waiting[first], model)? {
                if self.preempt_for(is_background, model)? {
                    continue;
                }
                return Ok(None);
            }
            let entry = &self.waiting[first];
            let known = entry.known();
            let opened = match entry.uses_prefix_cache {
                true => model.open(known, self.limits.context),
                false => model.start(self.limits.context).map(|sequence| Opened {
                    sequence,
                    cached: 0,
                }),
            };
            let opened = match opened {
                // A slot of a recurrent state comes free when somebody ends.
                Err(DecoderError::Cache(CacheError::NoSlot(_))) if !self.running.is_empty() => {
                    return Ok(None);
                }
                opened => opened?,
            };
            if !self.enter(first, opened, model, budget)? {
                let is_alone = self.running.len() == 1;
                return is_alone.then(|| self.give_up(model)).transpose();
            }
        }
        Ok(None)
    }

    /// Who is let in next: those who had a place already, then those whose client has fewest, in the
    /// order in which they came.
    fn next_waiting(&self, is_background: bool) -> Option<usize> {
        let n_running = |client: u64| {
            let running = self.running.iter();
            running.filter(|entry| entry.turn.client == client).count()
        };
        let waiting = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, entry)| !entry.is_paused && entry.turn.is_background == is_background);
        let first = waiting.min_by_key(|(_, entry)| match entry.cached {
            Some(_) => (0, entry.key),
            None => (1 + n_running(entry.turn.client), entry.key),
        });
        first.map(|(index, _)| index)
    }

    /// Lets a sequence in that has been opened. Returns whether any of it comes in the next step.
    fn enter(
        &mut self,
        waiting: usize,
        opened: Opened,
        model: &dyn Model,
        budget: &mut usize,
    ) -> Result<bool, DecoderError> {
        let mut entry = self.waiting.remove(waiting);
        entry.sequence = Some(opened.sequence);
        entry.n_computed = opened.cached;
        entry.cached.get_or_insert(opened.cached);
        let mut n = chunk(entry.n_computed, entry.n_pending(), *budget, model);
        let place = self.index_of(entry.key);
        self.running.insert(place, entry);
        while n > 0 && !self.fits(model, place, n)? {
            n /= 2;
        }
        self.running[place].n_fed = n;
        *budget -= n;
        Ok(n > 0)
    }

    /// Whether everything that is known of everybody fits, with a block for each to go on with, so
    /// that the first tokens of an answer do not end it at once.
    fn has_room_for(&self, new: &Entry<T>, model: &dyn Model) -> Result<bool, DecoderError> {
        let mut room = Room::default();
        for entry in &self.running {
            let n_pending = entry.n_pending().max(entry.n_fed);
            if let Some(sequence) = entry.sequence
                && !model.cache().fits(&mut room, sequence, n_pending)?
            {
                return Ok(false);
            }
        }
        let spare = BLOCK_LEN * (self.running.len() + 1);
        let text = (new.known(), self.limits.context, !new.uses_prefix_cache);
        Ok(model.cache().fits_new(&room, text, spare))
    }

    /// Whether the blocks for `n` tokens can be had beside all that was planned before; if so they
    /// are planned.
    fn fits(&mut self, model: &dyn Model, index: usize, n: usize) -> Result<bool, DecoderError> {
        match self.running[index].sequence {
            Some(sequence) => Ok(model.cache().fits(&mut self.room, sequence, n)?),
            None => Ok(false),
        }
    }

    /// Takes the place of another sequence for the one at `index`: of one that arrived later, the last
    /// first, of one in the background, which goes before everybody else, or of one that rests.
    /// Returns whether there was any.
    fn preempt(&mut self, index: usize, model: &mut dyn Model) -> Result<bool, DecoderError> {
        let is_background = self.running[index].turn.is_background;
        let in_background = self
            .running
            .iter()
            .rposition(|entry| entry.turn.is_background);
        let later = match (in_background, is_background) {
            (Some(other), true) => (other > index).then_some(other),
            (Some(other), false) => Some(other),
            (None, _) => Some(self.running.len() - 1).filter(|&last| last > index),
        };
        match later {
            Some(later) => self.preempt_at(later, model).map(|()| true),
            None => self.preempt_for(true, model),
        }
    }

    /// Takes the place of a sequence that rests or, unless it is for another of these, of one in the
    /// background. Returns whether there was any.
    fn preempt_for(
        &mut self,
        is_background: bool,
        model: &mut dyn Model,
    ) -> Result<bool, DecoderError> {
        let gives_way =
            |entry: &Entry<T>| entry.is_paused || (!is_background && entry.turn.is_background);
        let found = self.running.iter().rposition(gives_way);
        if let Some(found) = found {
            self.preempt_at(found, model)?;
        }
        Ok(found.is_some())
    }

    fn preempt_at(&mut self, index: usize, model: &mut dyn Model) -> Result<(), DecoderError> {
        let mut entry = self.running.remove(index);
        if let Some(sequence) = entry.sequence.take() {
            model.free(sequence)?;
        }
        (entry.n_computed, entry.n_undone, entry.n_fed) = (0, 0, 0);
        let place = self.waiting.partition_point(|other| other.key < entry.key);
        self.waiting.insert(place, entry);
        // What was planned for it is free again.
        self.room.clear();
        for entry in &self.running {
            if let (Some(sequence), 1..) = (entry.sequence, entry.n_fed) {
                model.cache().fits(&mut self.room, sequence, entry.n_fed)?;
            }
        }
        Ok(())
    }

    /// Ends the only sequence that is left, for which the cache is too small.
    fn give_up(&mut self, model: &mut dyn Model) -> Result<T, DecoderError> {
        let entry = self.running.remove(0);
        if let Some(sequence) = entry.sequence {
            model.free(sequence)?;
        }
        Ok(entry.payload)
    }

    fn index_of(&self, key: u64) -> usize {
        self.running.partition_point(|entry| entry.key < key)
    }
}

/// How much of a prompt comes next. Recurrent states can be kept where a chunk ends with a block,
/// so there the last block of a prompt ends a chunk.
fn chunk(n_computed: usize, n_pending: usize, budget: usize, model: &dyn Model) -> usize {
    let n = n_pending.min(budget);
    let end = n_computed + n;
    let last_block = end / BLOCK_LEN * BLOCK_LEN;
    let is_recurrent = !model.cache().plan().recurrent.is_empty();
    if is_recurrent && last_block > n_computed {
        return last_block - n_computed;
    }
    n
}

#[cfg(test)]
mod tests;

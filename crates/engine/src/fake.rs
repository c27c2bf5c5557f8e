//! A model without tensors, whose logits depend on every token that its cache says is there.
//!
//! Blocks hold the tokens themselves and slots a digest of all tokens, both carried from step to step
//! as a real backend would: a block that is lost, doubled, evicted too early or written by two
//! sequences changes the text.

use std::collections::HashMap;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use ponder_runtime::{
    backend::BackendError,
    cache::{
        BLOCK_LEN, Cache, CacheCopy, CachePlan, KvGroup, KvShape, Opened, RecurrentState, SeqId,
        Sequence,
    },
    decoder::{DecoderError, Logits, LogitsFor, Model, Step},
    spec::ArchSpec,
};

mod draws;

use draws::Draws;

pub(crate) const VOCAB_SIZE: usize = 24;

/// What a fake model is like.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    /// Windows of its groups of layers.
    pub(crate) windows: Vec<Option<usize>>,
    /// Whether it has recurrent layers too.
    pub(crate) is_recurrent: bool,
    /// Tokens that its cache holds.
    pub(crate) cache_tokens: usize,
    /// Sequences that its cache is planned for.
    pub(crate) max_sequences: usize,
    /// Its logits stay on a device that draws from them, most of the time.
    pub(crate) draws: bool,
    /// Blocks of each group that are kept elsewhere when the cache has no room.
    pub(crate) n_kept: usize,
    /// Its logits depend on this many last tokens only, so that its texts repeat themselves.
    pub(crate) memory: usize,
    /// Tokens of prompts that it wants in a step.
    pub(crate) prefill_rows: usize,
}

impl Kind {
    pub(crate) fn plain(cache_tokens: usize) -> Self {
        Self {
            windows: vec![None],
            is_recurrent: false,
            cache_tokens,
            max_sequences: 8,
            draws: false,
            n_kept: 0,
            memory: usize::MAX,
            prefill_rows: 256,
        }
    }
}

/// What a test sees of the model from outside.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Tokens of all steps.
    pub(crate) n_tokens: AtomicU64,
    /// Steps.
    pub(crate) n_steps: AtomicU64,
    /// Rows of the largest step.
    pub(crate) most_rows: AtomicU64,
    /// Nanoseconds that all steps took, by the fake's own clock.
    pub(crate) nanos: AtomicU64,
    /// Nanoseconds of a step, and of each of its rows.
    pub(crate) cost: [AtomicU64; 2],
    /// Blocks that came back from where they were kept.
    pub(crate) n_restored: AtomicU64,
    /// Tokens that can be had after the last call.
    pub(crate) free_tokens: AtomicU64,
    /// Sequences that are open.
    pub(crate) n_open: AtomicU64,
    /// The step at which the device fails; 0: never.
    pub(crate) fails_at: AtomicU64,
    /// Rows for which the device has memory; 0: any number.
    pub(crate) max_rows: AtomicU64,
    /// How every step fails.
    pub(crate) failure: Mutex<Option<fn() -> BackendError>>,
    /// Whether blocks are left uncounted, which takes memory.
    pub(crate) is_trusted: AtomicBool,
    /// Tokens of each sequence in the last step.
    pub(crate) last: Mutex<Vec<usize>>,
}

impl Watch {
    pub(crate) fn get(value: &AtomicU64) -> u64 {
        value.load(Ordering::Relaxed)
    }
}

pub(crate) struct Fake {
    kind: Kind,
    cache: Cache,
    open: Vec<SeqId>,
    blocks: HashMap<(usize, u32), [u32; BLOCK_LEN]>,
    slots: HashMap<u32, u64>,
    kept_blocks: HashMap<(usize, u32), [u32; BLOCK_LEN]>,
    kept_slots: HashMap<u32, u64>,
    copies: Vec<CacheCopy>,
    logits: Vec<f32>,
    draws: Draws,
    watch: Arc<Watch>,
}

impl Fake {
    pub(crate) fn make(kind: Kind) -> (Box<dyn Model>, Arc<Watch>) {
        let group = |&window: &Option<usize>| KvGroup {
            window,
            shapes: vec![KvShape {
                n_heads: 1,
                head_dim: 1,
            }],
        };
        let plan = CachePlan {
            layers: Vec::new(),
            groups: kind.windows.iter().map(group).collect(),
            recurrent: match kind.is_recurrent {
                true => vec![RecurrentState { len: 1 }],
                false => Vec::new(),
            },
        };
        let watch = Arc::<Watch>::default();
        let fake = Self {
            cache: Cache::new(plan, kind.cache_tokens, kind.max_sequences).keeping(kind.n_kept),
            kind,
            open: Vec::new(),
            blocks: HashMap::new(),
            slots: HashMap::new(),
            kept_blocks: HashMap::new(),
            kept_slots: HashMap::new(),
            copies: Vec::new(),
            logits: Vec::new(),
            draws: Draws::default(),
            watch: Arc::clone(&watch),
        };
        fake.report();
        (Box::new(fake), watch)
    }

    fn opened(&mut self, id: SeqId) {
        self.open.push(id);
        self.report();
    }

    /// Tells the outside how things are, and sees that no block is lost or doubled: what sequences
    /// hold and what can be had is all there is.
    fn report(&self) {
        let n_blocks = self.cache.capacity().n_blocks;
        let held = self.groups().map(|group| self.holders(group).len());
        if let Some(most) = held.max() {
            let had = self.cache.free_tokens() / BLOCK_LEN;
            assert_eq!(most + had, n_blocks, "blocks held and to be had");
        }
        let free = self.cache.free_tokens() as u64;
        self.watch.free_tokens.store(free, Ordering::Relaxed);
        let n_open = self.open.len() as u64;
        self.watch.n_open.store(n_open, Ordering::Relaxed);
    }

    /// Groups of which blocks are counted.
    fn groups(&self) -> std::ops::Range<usize> {
        match self.watch.is_trusted.load(Ordering::Relaxed) {
            true => 0..0,
            false => 0..self.kind.windows.len(),
        }
    }

    /// The blocks of a group that sequences hold, with how many hold each.
    fn holders(&self, group: usize) -> HashMap<u32, usize> {
        let mut holders = HashMap::new();
        for &id in &self.open {
            let sequence = self.cache.sequence(id).expect("an open sequence");
            for &block in sequence.table(group).blocks() {
                *holders.entry(block).or_default() += 1;
            }
        }
        holders
    }

    /// Sees that nobody else holds what a step is about to write.
    fn check_alone(&self, steps: &[Step<'_>]) {
        for group in self.groups() {
            let holders = self.holders(group);
            for step in steps {
                let sequence = self.cache.sequence(step.sequence).expect("a sequence");
                for place in sequence.len() - step.tokens.len()..sequence.len() {
                    let (block, _) = sequence.table(group).locate(place);
                    assert_eq!(holders[&block], 1, "block {block} of group {group}");
                }
            }
        }
    }

    fn copy(&mut self) {
        for copy in self.copies.drain(..) {
            match copy {
                CacheCopy::Block { group, from, to } => {
                    let block = self.blocks[&(group, from)];
                    self.blocks.insert((group, to), block);
                }
                CacheCopy::Slot { from, to } => {
                    self.slots.insert(to, self.slots[&from]);
                }
                CacheCopy::KeepBlock { group, from, to } => {
                    let block = self.blocks[&(group, from)];
                    self.kept_blocks.insert((group, to), block);
                }
                CacheCopy::RestoreBlock { group, from, to } => {
                    let block = self.kept_blocks[&(group, from)];
                    self.blocks.insert((group, to), block);
                    self.watch.n_restored.fetch_add(1, Ordering::Relaxed);
                }
                CacheCopy::KeepSlot { from, to } => {
                    self.kept_slots.insert(to, self.slots[&from]);
                }
                CacheCopy::RestoreSlot { from, to } => {
                    self.slots.insert(to, self.kept_slots[&from]);
                }
                CacheCopy::ClearSlot { slot } => {
                    self.slots.insert(slot, 0);
                }
            }
        }
    }

    /// Stores a token and digests all that it may see.
    fn compute(&mut self, id: SeqId, position: usize, token: u32) -> u64 {
        let Self {
            cache,
            blocks,
            slots,
            kind,
            ..
        } = self;
        let sequence: &Sequence = cache.sequence(id).expect("a sequence");
        let mut state = 1;
        for (group, window) in kind.windows.iter().enumerate() {
            let (block, row) = sequence.table(group).locate(position);
            blocks
                .entry((group, block))
                .or_insert([u32::MAX; BLOCK_LEN])[row] = token;
            let seen = window.unwrap_or(usize::MAX).min(kind.memory);
            for place in (position + 1).saturating_sub(seen)..=position {
                let (block, row) = sequence.table(group).locate(place);
                state = mix(state, blocks[&(group, block)][row]);
            }
        }
        if let Some(slot) = sequence.slot() {
            let slot = slots.get_mut(&slot).expect("a cleared slot");
            *slot = recur(*slot, token, kind.memory);
            state ^= *slot;
        }
        state
    }
}

fn unplugged() -> BackendError {
    BackendError::Device {
        device: "fake",
        operation: "step",
        message: "unplugged".to_owned(),
    }
}

/// A digest in which order counts.
fn mix(state: u64, token: u32) -> u64 {
    let mixed = (state ^ u64::from(token)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

/// A recurrent state that remembers every token, or the last few as they are.
fn recur(state: u64, token: u32, memory: usize) -> u64 {
    match u32::try_from(memory) {
        Ok(memory @ 0..8) => (state << 8 | u64::from(token)) & ((1 << (8 * memory)) - 1),
        _ => mix(state, token),
    }
}

/// Logits between 0 and 8 that follow from a digest.
fn logits(state: u64) -> impl Iterator<Item = f32> {
    (0..VOCAB_SIZE as u32).map(move |token| (mix(state, token) >> 40) as f32 / (1 << 21) as f32)
}

/// The logits after a text, worked out from the text alone.
pub(crate) fn logits_after(kind: &Kind, text: &[u32]) -> Vec<f32> {
    let mut state = 1;
    for window in &kind.windows {
        let seen = window.unwrap_or(usize::MAX).min(kind.memory);
        let visible = &text[text.len().saturating_sub(seen)..];
        state = visible
            .iter()
            .fold(state, |state, &token| mix(state, token));
    }
    if kind.is_recurrent {
        let recur = |state, &token: &u32| recur(state, token, kind.memory);
        state ^= text.iter().fold(0, recur);
    }
    logits(state).collect()
}

impl Model for Fake {
    fn spec(&self) -> &ArchSpec {
        unreachable!("sizes are known to who made the fake")
    }

    fn cache(&self) -> &Cache {
        &self.cache
    }

    fn prefill_rows(&self) -> usize {
        self.kind.prefill_rows
    }

    fn open(&mut self, prompt: &[u32], planned_len: usize) -> Result<Opened, DecoderError> {
        let opened = self.cache.open(prompt, planned_len, &mut self.copies)?;
        self.opened(opened.sequence);
        Ok(opened)
    }

    fn start(&mut self, planned_len: usize) -> Result<SeqId, DecoderError> {
        let id = self.cache.start(planned_len, &mut self.copies)?;
        self.opened(id);
        Ok(id)
    }

    fn fork(&mut self, sequence: SeqId) -> Result<SeqId, DecoderError> {
        let id = self.cache.fork(sequence, &mut self.copies)?;
        self.opened(id);
        Ok(id)
    }

    fn save(&mut self, sequence: SeqId) -> Result<bool, DecoderError> {
        Ok(self.cache.save(sequence, &mut self.copies)?)
    }

    fn truncate(&mut self, sequence: SeqId, len: usize) -> Result<usize, DecoderError> {
        Ok(self.cache.truncate(sequence, len)?)
    }

    fn free(&mut self, sequence: SeqId) -> Result<(), DecoderError> {
        self.cache.free(sequence)?;
        self.open.retain(|&id| id != sequence);
        self.report();
        Ok(())
    }

    fn hidden(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError> {
        self.forward(steps)
    }

    fn step(&mut self, steps: &[Step<'_>]) -> Result<Logits<'_>, DecoderError> {
        if !self.kind.draws {
            return self.forward(steps).map(Logits::Here);
        }
        // Where a step fails is seen when its logits are wanted.
        let next = Watch::get(&self.watch.n_steps) + 1;
        let fails_at = &self.watch.fails_at;
        let failure = fails_at.compare_exchange(next, 0, Ordering::Relaxed, Ordering::Relaxed);
        self.draws.fails = failure.is_ok();
        self.forward(steps)?;
        Ok(Logits::Kept(self))
    }

    fn forward(&mut self, steps: &[Step<'_>]) -> Result<&mut [f32], DecoderError> {
        self.logits.clear();
        let step = self.watch.n_steps.fetch_add(1, Ordering::Relaxed) + 1;
        for step in steps {
            // The policy asks before it plans, so there is always room.
            self.cache
                .append(step.sequence, step.tokens.len(), &mut self.copies)?;
        }
        if step == Watch::get(&self.watch.fails_at) {
            return Err(unplugged().into());
        }
        self.check_alone(steps);
        self.copy();
        let n_rows = steps.iter().map(|step| step.tokens.len() as u64).sum();
        if (1..n_rows).contains(&Watch::get(&self.watch.max_rows)) {
            let message = format!("no memory for {n_rows} rows");
            return Err(BackendError::OutOfMemory(message).into());
        }
        if let Some(failure) = *self.watch.failure.lock().expect("a lock") {
            return Err(failure().into());
        }
        for step in steps {
            let first = self.cache.sequence(step.sequence)?.len() - step.tokens.len();
            for (i, &token) in step.tokens.iter().enumerate() {
                let state = self.compute(step.sequence, first + i, token);
                let is_last = i + 1 == step.tokens.len();
                if step.logits == LogitsFor::All || (step.logits == LogitsFor::Last && is_last) {
                    self.logits.extend(logits(state));
                }
            }
            self.cache
                .commit(step.sequence, step.tokens, &mut self.copies)?;
        }
        let rows: usize = steps.iter().map(|step| step.tokens.len()).sum();
        let watch = &self.watch;
        watch.n_tokens.fetch_add(rows as u64, Ordering::Relaxed);
        watch.most_rows.fetch_max(rows as u64, Ordering::Relaxed);
        let [base, per_row] = watch.cost.each_ref().map(Watch::get);
        watch
            .nanos
            .fetch_add(base + per_row * rows as u64, Ordering::Relaxed);
        let mut last = watch.last.lock().expect("a lock");
        last.clear();
        last.extend(steps.iter().map(|step| step.tokens.len()));
        drop(last);
        self.report();
        Ok(&mut self.logits)
    }
}

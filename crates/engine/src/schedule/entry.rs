//! One sequence, from its arrival to its end.

use ponder_runtime::{
    cache::SeqId,
    decoder::{LogitsFor, Step},
};

/// When a sequence is let in where several wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Behind all that are not.
    pub(crate) is_background: bool,
    /// Whose it is: places are dealt among those who wait for them.
    pub(crate) client: u64,
}

/// A sequence that waits or runs. All that is needed to begin again is `tokens`: a sequence whose
/// place in the cache was taken away is computed anew and goes on as if nothing had happened.
pub(crate) struct Entry<T> {
    /// Order of arrival.
    pub(super) key: u64,
    pub(super) turn: Turn,
    /// Its place in the cache, while it runs.
    pub(super) sequence: Option<SeqId>,
    /// Prompt and answer, and after them the drafts of the coming step.
    pub(super) tokens: Vec<u32>,
    /// How many of the tokens are certain.
    pub(super) n_known: usize,
    /// How many of them the cache holds.
    pub(super) n_computed: usize,
    /// Of what the cache does not hold, tokens that it held before a wrong draft was taken back.
    pub(super) n_undone: usize,
    /// Tokens of the coming step.
    pub(super) n_fed: usize,
    /// Tokens that the cache held when the sequence ran first.
    pub(super) cached: Option<usize>,
    /// Whether it may begin with what others have computed.
    pub(crate) uses_prefix_cache: bool,
    /// Whether it is to rest, because nobody takes what it has to say.
    pub(crate) is_paused: bool,
    /// Whose sequence it is.
    pub(crate) payload: T,
}

impl<T> Entry<T> {
    pub(super) fn new(key: u64, turn: Turn, tokens: Vec<u32>, payload: T) -> Self {
        Self {
            key,
            turn,
            sequence: None,
            n_known: tokens.len(),
            tokens,
            n_computed: 0,
            n_undone: 0,
            n_fed: 0,
            cached: None,
            uses_prefix_cache: true,
            is_paused: false,
            payload,
        }
    }

    /// Prompt and answer so far.
    pub(crate) fn known(&self) -> &[u32] {
        &self.tokens[..self.n_known]
    }

    /// How many of them the cache holds.
    pub(crate) fn n_computed(&self) -> usize {
        self.n_computed
    }

    /// How many the cache held when the sequence ran first.
    pub(crate) fn n_cached(&self) -> usize {
        self.cached.unwrap_or(0)
    }

    /// Tokens that are certain and not computed: one while the answer is generated, and those that
    /// were undone.
    pub(super) fn n_pending(&self) -> usize {
        self.n_known - self.n_computed
    }

    /// Whether one token is wanted next.
    pub(crate) fn is_decoding(&self) -> bool {
        self.n_pending() == 1 + self.n_undone && self.n_computed > 0
    }

    /// Whether it has a place in the cache.
    pub(crate) fn is_running(&self) -> bool {
        self.sequence.is_some()
    }

    /// Tokens in the coming step.
    pub(crate) fn n_fed(&self) -> usize {
        self.n_fed
    }

    /// Drafts in the coming step.
    pub(crate) fn n_drafts(&self) -> usize {
        self.tokens.len() - self.n_known
    }

    /// What the model is to do for this sequence.
    pub(crate) fn step(&self) -> Option<Step<'_>> {
        let sequence = self.sequence.filter(|_| self.n_fed > 0)?;
        let end = self.n_computed + self.n_fed;
        let logits = match (end == self.tokens.len(), self.n_drafts()) {
            (false, _) => LogitsFor::None,
            (true, 0) => LogitsFor::Last,
            (true, _) => LogitsFor::All,
        };
        Some(Step {
            sequence,
            tokens: &self.tokens[self.n_computed..end],
            logits,
        })
    }

    /// Rows of logits that [`Entry::step`] asks for.
    pub(crate) fn n_rows(&self) -> usize {
        match self.step().map(|step| step.logits) {
            None | Some(LogitsFor::None) => 0,
            Some(LogitsFor::Last) => 1,
            Some(LogitsFor::All) => self.n_fed,
        }
    }

    /// The step was done.
    pub(crate) fn advance(&mut self) {
        if self.n_fed > 0 {
            self.n_computed += self.n_fed;
            (self.n_fed, self.n_undone) = (0, 0);
        }
    }

    /// A token was drawn. Returns whether it is the one that was drafted for its place: only then do
    /// the logits that follow belong to this text.
    pub(crate) fn accept(&mut self, token: u32) -> bool {
        let as_drafted = self.tokens.get(self.n_known) == Some(&token);
        if !as_drafted {
            self.tokens.truncate(self.n_known);
            self.tokens.push(token);
        }
        self.n_known += 1;
        as_drafted
    }

    /// Drops drafts. Returns the length to which the cache must go back, if it went too far: all
    /// known tokens but the last, whose logits are still wanted.
    pub(super) fn settle(&mut self) -> Option<usize> {
        self.tokens.truncate(self.n_known);
        let len = self.n_known - 1;
        (self.n_computed > len).then_some(len)
    }

    /// The cache went back to `len` tokens.
    pub(super) fn go_back(&mut self, len: usize) {
        self.n_computed = len;
        self.n_undone = self.n_known - 1 - len;
    }
}

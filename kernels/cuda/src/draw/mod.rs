//! Tokens drawn from rows of logits, so that they alone come back to the host.
//!
//! 1. [`Drawing::push`] says how a token is to be drawn from which row; as often as there are tokens.
//! 2. [`Drawing::run`] draws them all: one upload, one launch, one download.
//!
//! What is drawn is what the chain of `ponder-effort` draws with the same number, to the bit: every
//! operation is rounded as there, and sums are taken in the same order.

mod staged;
#[cfg(all(test, feature = "emulated"))]
mod tests;

use crate::view::{FLOAT, check_len, count};
use crate::{Arg, CudaError, Device, Launch, Memory};
use staged::{RESULT, Staged, result};

/// Threads of a block, which has a row.
const THREADS: u32 = 1024;
/// Tokens of a row whose sums have room.
const MAX_TOKENS: usize = 1 << 20;
/// Candidates that have room.
const MAX_TOP_K: usize = 2048;
/// Likeliest tokens that can be asked for.
pub const MAX_LIKELIEST: usize = 20;
/// Draws that are planned for, and bytes of what they are made of; more take more memory.
const PLANNED: usize = 256;
const PLANNED_BYTES: usize = 1 << 18;

/// How a token is drawn from a row of logits: what is done to them, in the order of the fields.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Which row.
    pub row: usize,
    /// Bit `t % 32` of word `t / 32` is set where token `t` may come.
    pub mask: Option<&'a [u32]>,
    /// Divides positive and multiplies other logits of tokens that were seen.
    pub repetition: f32,
    /// Subtracted where the answer has a token.
    pub presence: f32,
    /// Subtracted for each time that it has it.
    pub frequency: f32,
    /// Tokens that were seen, with how often the answer has each; each is there once.
    pub seen: &'a [(u32, u32)],
    /// Tokens and what is added to their logits, in turn where a token has several, which are side by
    /// side.
    pub added: &'a [(u32, f32)],
    /// A token whose logit moves towards the largest one by a share of the way.
    pub raised: Option<(u32, f32)>,
    /// What logits are multiplied with; infinite: the likeliest token comes.
    pub sharpness: f32,
    /// Likeliest tokens that are kept; 0: all.
    pub top_k: usize,
    /// Share of the probability that is kept.
    pub top_p: f32,
    /// Probability that is kept, as a share of the largest one.
    pub min_p: f32,
    /// By chance, in `[0, 1)`.
    pub number: f64,
    /// So many of the likeliest tokens are wanted too, by the logits as they were, with what all tokens
    /// weigh; `None`: nothing of the kind.
    pub likeliest: Option<usize>,
}

/// A token that was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: u32,
    /// Its logit as it was in the row.
    pub logit: f32,
    /// The largest logit of the row, where [`Draw::likeliest`] wants more than a token.
    pub max: f32,
    /// Σ e^(logit − max), likewise.
    pub mass: f64,
    /// The likeliest tokens and their logits, likewise, likeliest first; `n_likeliest` of them.
    pub likeliest: [(u32, f32); MAX_LIKELIEST],
    /// See `likeliest`.
    pub n_likeliest: usize,
}

/// Rows of logits.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    /// `[n_rows, n_tokens]`
    pub memory: &'a Memory,
    /// Rows.
    pub n_rows: usize,
    /// Logits of a row.
    pub n_tokens: usize,
}

/// Draws tokens; keeps memory for it from step to step.
#[derive(Debug)]
pub struct Drawing {
    device: Device,
    staged: Staged,
    /// What was staged.
    memory: Memory,
    /// Rows that are changed before tokens are drawn.
    copies: Memory,
    results: Memory,
    bytes: Vec<u8>,
}

impl Drawing {
    /// Room for a few draws.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        Ok(Self {
            device: device.clone(),
            staged: Staged::default(),
            memory: device.alloc(PLANNED_BYTES)?,
            copies: device.alloc(0)?,
            results: device.alloc(PLANNED * RESULT)?,
            bytes: Vec::new(),
        })
    }

    /// Forgets what was pushed.
    pub fn clear(&mut self) {
        self.staged.clear();
    }

    /// Adds a draw from rows of so many tokens. Returns `false`, and adds nothing, where there is no room
    /// for it: it keeps more than 2048 tokens by top-k, wants more than 20, or the row has more than 2²⁰.
    ///
    /// # Panics
    /// If the mask is of another length, or a token beyond the row.
    pub fn push(&mut self, draw: &Draw<'_>, n_tokens: usize) -> bool {
        let has_room = n_tokens <= MAX_TOKENS
            && draw.top_k <= MAX_TOP_K
            && draw.likeliest.is_none_or(|n| n <= MAX_LIKELIEST);
        if has_room {
            draw.check(n_tokens);
            self.staged.push(draw);
        }
        has_room
    }

    /// Draws what was pushed, and forgets it. Hands the tokens over in order; `None` where a row has a logit
    /// that is no finite number, allows no token, or takes more than 2048 candidates: what is wanted of
    /// it is then for the host to find. Waits for everything that was launched before, also where
    /// nothing was pushed.
    ///
    /// # Errors
    /// Of the driver, and of what was launched before.
    ///
    /// # Panics
    /// If a row that a draw names is not there.
    pub fn run(
        &mut self,
        logits: &Logits<'_>,
        each: impl FnMut(Option<Drawn>),
    ) -> Result<(), CudaError> {
        let result = match self.staged.n_draws() {
            0 => self.device.synchronize(),
            n => self.draw(n, logits, each),
        };
        self.staged.clear();
        result
    }

    fn draw(
        &mut self,
        n_draws: usize,
        logits: &Logits<'_>,
        each: impl FnMut(Option<Drawn>),
    ) -> Result<(), CudaError> {
        let n_tokens = logits.n_tokens;
        check_len(logits.memory, logits.n_rows * n_tokens, "logits");
        assert!(
            self.staged.n_rows() <= logits.n_rows,
            "a draw from row {} of {}",
            self.staged.n_rows() - 1,
            logits.n_rows
        );
        self.bytes.clear();
        let words_at = self.staged.write(&mut self.bytes);
        let n_copied = self.staged.n_copies() * n_tokens;
        self.device.grow(&mut self.memory, self.bytes.len())?;
        self.device.grow(&mut self.copies, n_copied * FLOAT)?;
        self.device.grow(&mut self.results, n_draws * RESULT)?;
        self.device.upload(&self.bytes, &self.memory, 0)?;
        let launch = Launch {
            grid: [count(n_draws), 1, 1],
            block: [THREADS, 1, 1],
            shared: 0,
        };
        let args = [
            Arg::Memory(logits.memory, 0),
            Arg::Memory(&self.memory, 0),
            Arg::Memory(&self.memory, words_at),
            Arg::Memory(&self.copies, 0),
            Arg::Memory(&self.results, 0),
            Arg::U32(count(n_tokens)),
        ];
        // SAFETY: the rows that are named are there; lists lie behind the draws, their tokens were
        // checked when they were pushed, and each draw that changes its row has a copy of its own.
        unsafe { self.device.launch("draw_tokens", launch, &args)? };
        self.bytes.resize(n_draws * RESULT, 0);
        self.device.download(&self.results, 0, &mut self.bytes)?;
        self.bytes.as_chunks().0.iter().map(result).for_each(each);
        Ok(())
    }
}

impl Draw<'_> {
    fn check(&self, n_tokens: usize) {
        let is_there = |token: u32| (token as usize) < n_tokens;
        let mut named = self.seen.iter().map(|&(token, _)| token);
        let mut added = self.added.iter().map(|&(token, _)| token);
        let raised = self.raised.is_none_or(|(token, _)| is_there(token));
        assert!(
            named.all(is_there) && added.all(is_there) && raised,
            "a token beyond the {n_tokens} of a row"
        );
        let n_words = n_tokens.div_ceil(32);
        assert!(
            self.mask.is_none_or(|mask| mask.len() == n_words),
            "a mask of {n_words} words"
        );
    }

    /// Whether it changes logits before it draws.
    fn changes_row(&self) -> bool {
        let is_as_it_is = self.mask.is_none()
            && self.seen.is_empty()
            && self.added.is_empty()
            && self.raised.is_none();
        !is_as_it_is
    }
}

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

pub use ponder_kernels_cpu::draw::{Draw, DrawnToken, MAX_LIKELIEST};

use crate::view::{FLOAT, check_len, count};
use crate::{Arg, CudaError, Device, Launch, Memory};
use staged::{RESULT, Staged, result};

/// Threads of a block, which has a row.
const THREADS: u32 = 1024;
/// Tokens of a row whose sums have room.
const MAX_TOKENS: usize = 1 << 20;
/// Candidates that have room.
const MAX_TOP_K: usize = 2048;
/// Draws that are planned for, and bytes of what they are made of; more take more memory.
const PLANNED: usize = 256;
const PLANNED_BYTES: usize = 1 << 18;

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
            check(draw, n_tokens);
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
        each: impl FnMut(Option<DrawnToken>),
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
        each: impl FnMut(Option<DrawnToken>),
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

/// Whether the tokens that a draw names are among so many.
fn check(draw: &Draw<'_>, n_tokens: usize) {
    let is_there = |token: u32| (token as usize) < n_tokens;
    let mut named = draw.seen.iter().map(|&(token, _)| token);
    let mut added = draw.added.iter().map(|&(token, _)| token);
    let raised = draw.raised.is_none_or(|(token, _)| is_there(token));
    assert!(
        named.all(is_there) && added.all(is_there) && raised,
        "a token beyond the {n_tokens} of a row"
    );
    let n_words = n_tokens.div_ceil(32);
    assert!(
        draw.mask.is_none_or(|mask| mask.len() == n_words),
        "a mask of {n_words} words"
    );
}

/// Whether logits are changed before a token is drawn.
fn changes_row(draw: &Draw<'_>) -> bool {
    let is_as_it_is = draw.mask.is_none()
        && draw.seen.is_empty()
        && draw.added.is_empty()
        && draw.raised.is_none();
    !is_as_it_is
}

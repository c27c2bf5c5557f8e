//! What is looked for in rows of logits: the best tokens, so that they alone come back to the host.
//!
//! Of equal logits the lower token is the better one; what is no number is worse than any.

#[cfg(all(test, feature = "emulated"))]
mod tests;

use crate::view::{FLOAT, check_len, count};
use crate::{Arg, CudaError, Device, Launch, Memory};

/// Bytes of a candidate.
const CANDIDATE: usize = 8;
/// Blocks that share a row out.
const ARGMAX_PARTS: usize = 32;
/// Logits of a row below which one block has it alone.
const ARGMAX_FEW: usize = 4096;
const ARGMAX_THREADS: u32 = 256;
/// Candidates of a block, of which the best are kept.
const SORTED: usize = 2048;
const SORT_THREADS: u32 = 512;
/// Tokens that can be asked for.
const MAX_K: usize = 256;

/// Looks for tokens; keeps memory for it from step to step.
#[derive(Debug)]
pub struct TokenSearch {
    device: Device,
    /// The best of parts of rows, now in the one and now in the other.
    candidates: [Memory; 2],
    /// How many parts of a row are finished; 0 between launches.
    counters: Memory,
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

impl Logits<'_> {
    fn check(&self, k: usize) {
        check_len(self.memory, self.n_rows * self.n_tokens, "logits");
        assert!(
            (1..=self.n_tokens.min(MAX_K)).contains(&k),
            "the best {k} of {} tokens",
            self.n_tokens
        );
    }
}

impl TokenSearch {
    /// Room for nothing yet.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(device: &Device) -> Result<Self, CudaError> {
        Ok(Self {
            device: device.clone(),
            candidates: [device.alloc(0)?, device.alloc(0)?],
            counters: device.alloc(0)?,
        })
    }

    /// `tokens[row]` = the best token of each row, a 32-bit number.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small, or there are no tokens.
    pub fn argmax(&mut self, logits: &Logits<'_>, tokens: &Memory) -> Result<(), CudaError> {
        logits.check(1);
        check_len(tokens, logits.n_rows, "best tokens");
        if logits.n_rows == 0 {
            return Ok(());
        }
        let n_parts = if logits.n_tokens < ARGMAX_FEW {
            1
        } else {
            ARGMAX_PARTS
        };
        self.reserve(logits.n_rows * n_parts, logits.n_rows)?;
        let launch = Launch {
            grid: [count(n_parts), count(logits.n_rows), 1],
            block: [ARGMAX_THREADS, 1, 1],
            shared: 0,
        };
        let args = [
            Arg::Memory(logits.memory, 0),
            Arg::Memory(tokens, 0),
            Arg::Memory(&self.candidates[0], 0),
            Arg::Memory(&self.counters, 0),
            Arg::U32(count(logits.n_tokens)),
        ];
        // SAFETY: logits are there; there is room for the parts, the counters and the tokens.
        unsafe { self.device.launch("argmax", launch, &args) }
    }

    /// The best `k` tokens of each row, best first: `tokens` and their logits, `[n_rows, k]` each.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small, or `k` is 0, more than 256 or more than there are tokens.
    pub fn top_k(
        &mut self,
        logits: &Logits<'_>,
        k: usize,
        tokens: &Memory,
        values: &Memory,
    ) -> Result<(), CudaError> {
        logits.check(k);
        check_len(tokens, logits.n_rows * k, "best tokens");
        check_len(values, logits.n_rows * k, "best logits");
        if logits.n_rows == 0 {
            return Ok(());
        }
        let mut n_parts = logits.n_tokens.div_ceil(SORTED);
        self.reserve(logits.n_rows * n_parts * k, 0)?;
        let args = [
            Arg::Memory(logits.memory, 0),
            Arg::Memory(&self.candidates[0], 0),
            Arg::U32(count(logits.n_tokens)),
            Arg::U32(count(k)),
        ];
        // SAFETY: logits are there, and there is room for `k` candidates of each part.
        unsafe {
            self.device
                .launch("best_logits", sorters(n_parts, logits.n_rows), &args)?
        };
        let mut from = 0;
        while n_parts > 1 {
            let n = n_parts * k;
            n_parts = n.div_ceil(SORTED);
            let args = [
                Arg::Memory(&self.candidates[from], 0),
                Arg::Memory(&self.candidates[1 - from], 0),
                Arg::U32(count(n)),
                Arg::U32(count(k)),
            ];
            let launch = sorters(n_parts, logits.n_rows);
            // SAFETY: each row has `n` candidates, and there is room for fewer.
            unsafe { self.device.launch("best_candidates", launch, &args)? };
            from = 1 - from;
        }
        let launch = Launch {
            grid: [count(logits.n_rows), 1, 1],
            block: [64, 1, 1],
            shared: 0,
        };
        let args = [
            Arg::Memory(logits.memory, 0),
            Arg::Memory(&self.candidates[from], 0),
            Arg::Memory(tokens, 0),
            Arg::Memory(values, 0),
            Arg::U32(count(logits.n_tokens)),
            Arg::U32(count(k)),
        ];
        // SAFETY: a row has `k` candidates left, all of them its tokens, because it has as many.
        unsafe { self.device.launch("name_candidates", launch, &args) }
    }

    fn reserve(&mut self, n_candidates: usize, n_counters: usize) -> Result<(), CudaError> {
        for memory in &mut self.candidates {
            self.device.grow(memory, n_candidates * CANDIDATE)?;
        }
        if self.device.grow(&mut self.counters, n_counters * FLOAT)? {
            self.device.clear(&self.counters, 0, self.counters.len())?;
        }
        Ok(())
    }
}

/// Blocks that sort the parts of each row.
fn sorters(n_parts: usize, n_rows: usize) -> Launch {
    Launch {
        grid: [count(n_parts), count(n_rows), 1],
        block: [SORT_THREADS, 1, 1],
        shared: 0,
    }
}

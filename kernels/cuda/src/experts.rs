//! Mixture of experts, but for the products: who works on which rows, and what they say together.
//!
//! 1. [`Routing::route`] chooses experts for each row, and groups rows by expert.
//! 2. [`Routing::ranges`] says where the rows of each expert lie.
//! 3. [`Routing::gather`] copies each expert's rows side by side, to multiply with its weights.
//! 4. [`Routing::sum`] puts together what they say.

#[cfg(all(test, feature = "emulated"))]
mod tests;

use std::ops::Range;

use crate::view::{FLOAT, check_len, count};
use crate::{Arg, CudaError, Device, Launch, Memory};

/// Rows of a block of the router, a warp each.
const ROUTER_ROWS: usize = 4;
/// Threads of a block that has a row.
const ROW_THREADS: u32 = 256;
/// Threads of a block that has an expert.
const EXPERT_THREADS: u32 = 256;
/// Experts of a row.
const MAX_TOP_K: usize = 32;
/// Experts whose shares fit into shared memory, for each row of a block.
const MAX_EXPERTS: usize = 3072;

/// Which experts work on which rows.
#[derive(Debug)]
pub struct Routing {
    device: Device,
    n_experts: usize,
    top_k: usize,
    n_rows: usize,
    /// `[max_rows, top_k]`: experts of a row, best first.
    experts: Memory,
    /// Their shares.
    shares: Memory,
    /// Pairs of row and choice, sorted by expert.
    order: Memory,
    /// Where each pair is in `order`.
    places: Memory,
    /// Where each expert's pairs begin, and their number. `[n_experts + 1]`
    offsets: Memory,
    /// What has been downloaded of them.
    downloaded: Vec<u8>,
}

impl Routing {
    /// For up to `max_rows` rows; more make it grow.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a row chooses no experts, more than there are or more than 32, or there are more than 3072.
    pub fn new(
        device: &Device,
        max_rows: usize,
        n_experts: usize,
        top_k: usize,
    ) -> Result<Self, CudaError> {
        assert!(
            (1..=n_experts.min(MAX_TOP_K)).contains(&top_k) && n_experts <= MAX_EXPERTS,
            "{top_k} of {n_experts} experts"
        );
        let pairs = || device.alloc(max_rows * top_k * FLOAT);
        Ok(Self {
            n_experts,
            top_k,
            n_rows: 0,
            experts: pairs()?,
            shares: pairs()?,
            order: pairs()?,
            places: pairs()?,
            offsets: device.alloc((n_experts + 1) * FLOAT)?,
            downloaded: vec![0; (n_experts + 1) * FLOAT],
            device: device.clone(),
        })
    }

    /// Softmax over the logits `[n_rows, n_experts]` of the router, of each row the best experts, of
    /// equals the first. With `normalize` the shares of a row add up to 1.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there are not so many logits.
    pub fn route(
        &mut self,
        logits: &Memory,
        n_rows: usize,
        normalize: bool,
    ) -> Result<(), CudaError> {
        check_len(logits, n_rows * self.n_experts, "logits of a router");
        self.reserve(n_rows)?;
        self.n_rows = n_rows;
        if n_rows > 0 {
            let launch = Launch {
                grid: [count(n_rows.div_ceil(ROUTER_ROWS)), 1, 1],
                block: [count(ROUTER_ROWS * 32), 1, 1],
                shared: count(ROUTER_ROWS * self.n_experts * FLOAT),
            };
            let args = [
                Arg::Memory(logits, 0),
                Arg::Memory(&self.experts, 0),
                Arg::Memory(&self.shares, 0),
                Arg::U32(count(n_rows)),
                Arg::U32(count(self.n_experts)),
                Arg::U32(count(self.top_k)),
                Arg::U32(normalize.into()),
            ];
            // SAFETY: the logits are there, and there is room for the choices of all rows.
            unsafe { self.device.launch("route", launch, &args)? };
        }
        let launch = Launch {
            grid: [count(self.n_experts), 1, 1],
            block: [EXPERT_THREADS, 1, 1],
            shared: 0,
        };
        let args = [
            Arg::Memory(&self.experts, 0),
            Arg::Memory(&self.order, 0),
            Arg::Memory(&self.places, 0),
            Arg::Memory(&self.offsets, 0),
            Arg::U32(count(n_rows * self.top_k)),
        ];
        // SAFETY: every row has chosen `top_k` of the experts, each of which has a block.
        unsafe { self.device.launch("group_by_expert", launch, &args) }
    }

    /// Where the rows of each expert lie after [`gather`](Self::gather): a small download, which waits
    /// for everything before it.
    ///
    /// # Errors
    /// Of the driver.
    pub fn ranges(&mut self) -> Result<impl Iterator<Item = Range<usize>>, CudaError> {
        self.device
            .download(&self.offsets, 0, &mut self.downloaded)?;
        let words = self.downloaded.as_chunks().0;
        let at = |&word: &[u8; FLOAT]| u32::from_ne_bytes(word) as usize;
        Ok(words.windows(2).map(move |pair| at(&pair[0])..at(&pair[1])))
    }

    /// Rows of all experts together.
    pub fn n_pairs(&self) -> usize {
        self.n_rows * self.top_k
    }

    /// Copies the rows of `x`, `[n_rows, width]`, that each expert works on: `[n_pairs, width]`.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small.
    pub fn gather(&self, x: &Memory, width: usize, out: &Memory) -> Result<(), CudaError> {
        check_len(x, self.n_rows * width, "rows for experts");
        check_len(out, self.n_pairs() * width, "rows of experts");
        if self.n_pairs() * width == 0 {
            return Ok(());
        }
        let args = [
            Arg::Memory(x, 0),
            Arg::Memory(&self.order, 0),
            Arg::Memory(out, 0),
            Arg::U32(count(width)),
            Arg::U32(count(self.top_k)),
        ];
        // SAFETY: a block for each pair, whose row is there, as is its place.
        unsafe {
            self.device
                .launch("gather_for_experts", rows(self.n_pairs()), &args)
        }
    }

    /// `out[row]` = the sum of what the row's experts say, `[n_pairs, width]`, by their shares, in the
    /// order of the experts.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small.
    pub fn sum(&self, outputs: &Memory, width: usize, out: &Memory) -> Result<(), CudaError> {
        check_len(outputs, self.n_pairs() * width, "what experts say");
        check_len(out, self.n_rows * width, "sums of experts");
        if self.n_pairs() * width == 0 {
            return Ok(());
        }
        let args = [
            Arg::Memory(outputs, 0),
            Arg::Memory(&self.places, 0),
            Arg::Memory(&self.shares, 0),
            Arg::Memory(out, 0),
            Arg::U32(count(width)),
            Arg::U32(count(self.top_k)),
        ];
        // SAFETY: a block for each row, which has `top_k` pairs.
        unsafe {
            self.device
                .launch("sum_of_experts", rows(self.n_rows), &args)
        }
    }

    fn reserve(&mut self, n_rows: usize) -> Result<(), CudaError> {
        let wanted = n_rows * self.top_k * FLOAT;
        for memory in [
            &mut self.experts,
            &mut self.shares,
            &mut self.order,
            &mut self.places,
        ] {
            self.device.grow(memory, wanted)?;
        }
        Ok(())
    }
}

fn rows(n: usize) -> Launch {
    Launch {
        grid: [count(n), 1, 1],
        block: [ROW_THREADS, 1, 1],
        shared: 0,
    }
}

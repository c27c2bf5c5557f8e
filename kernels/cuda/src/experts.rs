//! Mixture of experts, but for the products: who works on which rows, and what they say together.
//!
//! 1. [`Routing::route`] chooses experts for each row: pairs of a row and an expert.
//! 2. [`Linear`](crate::linear::Linear) multiplies each pair's row with its expert's matrix.
//! 3. [`Routing::sum`] puts together what they say.
//!
//! Nothing of this is known outside the device: launches are made for as many pairs as there are, and
//! look up there who works on what.

#[cfg(all(test, feature = "emulated"))]
mod tests;

use crate::view::{FLOAT, check_len, count};
use crate::{Arg, CudaError, Device, Launch, Memory};

/// Rows of a block of the router, a warp each.
const ROUTER_ROWS: usize = 4;
/// Threads of a block that has a row.
const ROW_THREADS: u32 = 256;
/// Threads of a block that has an expert.
const EXPERT_THREADS: u32 = 256;
/// Bytes of a tile's entry.
const TILE_BYTES: usize = 4 * FLOAT;
/// Experts of a row.
const MAX_TOP_K: usize = 32;
/// Experts whose shares fit into shared memory, for each row of a block.
const MAX_EXPERTS: usize = 3072;

/// Which experts work on which rows.
///
/// Pairs of a row and an expert are numbered row by row, those of a row best first. To be multiplied
/// they are sorted by expert, and cut into tiles of a few pairs of one expert.
#[derive(Debug)]
pub struct Routing {
    device: Device,
    n_experts: usize,
    top_k: usize,
    n_rows: usize,
    tile: usize,
    /// `[n_rows, top_k]`: experts of a row, best first.
    experts: Memory,
    /// Their shares.
    shares: Memory,
    /// Pairs, sorted by expert.
    order: Memory,
    /// `[n_tiles, 4]`: expert, place of the first pair, number of pairs.
    tiles: Memory,
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
        let pairs = |bytes: usize| device.alloc((max_rows * top_k * bytes).max(bytes));
        Ok(Self {
            n_experts,
            top_k,
            n_rows: 0,
            tile: 1,
            experts: pairs(FLOAT)?,
            shares: pairs(FLOAT)?,
            order: pairs(FLOAT)?,
            tiles: pairs(TILE_BYTES)?,
            device: device.clone(),
        })
    }

    /// Softmax over the logits `[n_rows, n_experts]` of the router, of each row the best experts, of
    /// equals the first. With `normalize` the shares of a row add up to 1. Tiles have up to `tile`
    /// pairs, as [`Linear::tile_of_experts`](crate::linear::Linear::tile_of_experts) says.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there are not so many logits, or tiles have no pairs.
    pub fn route(
        &mut self,
        logits: &Memory,
        n_rows: usize,
        normalize: bool,
        tile: usize,
    ) -> Result<(), CudaError> {
        assert!(tile > 0, "a tile has pairs");
        check_len(logits, n_rows * self.n_experts, "logits of a router");
        (self.n_rows, self.tile) = (n_rows, tile);
        self.reserve()?;
        if n_rows == 0 {
            return Ok(());
        }
        let launch = Launch {
            grid: [count(n_rows.div_ceil(ROUTER_ROWS)), 1, 1],
            block: [count(ROUTER_ROWS * 32), 1, 1],
            shared: count(ROUTER_ROWS * self.n_experts * FLOAT),
        };
        let args = [
            Arg::Memory(logits, 0),
            Arg::Memory(&self.experts, 0),
            Arg::Memory(&self.shares, 0),
            match tile {
                1 => Arg::Memory(&self.tiles, 0),
                _ => Arg::Null,
            },
            Arg::U32(count(n_rows)),
            Arg::U32(count(self.n_experts)),
            Arg::U32(count(self.top_k)),
            Arg::U32(normalize.into()),
        ];
        // SAFETY: the logits are there, and there is room for the choices of all rows, and for a tile
        // of each.
        unsafe { self.device.launch("route", launch, &args)? };
        match tile {
            1 => Ok(()),
            _ => self.group(),
        }
    }

    /// Sorts pairs by expert and cuts them into tiles.
    fn group(&self) -> Result<(), CudaError> {
        let launch = Launch {
            grid: [count(self.n_experts), 1, 1],
            block: [EXPERT_THREADS, 1, 1],
            shared: count(self.n_experts * FLOAT),
        };
        let args = [
            Arg::Memory(&self.experts, 0),
            Arg::Memory(&self.order, 0),
            Arg::Memory(&self.tiles, 0),
            Arg::U32(count(self.n_pairs())),
            Arg::U32(count(self.tile)),
            Arg::U32(count(self.n_tiles())),
        ];
        // SAFETY: every row has chosen `top_k` of the experts, each of which has a block; there is room
        // for all pairs, and for as many tiles as there can be.
        unsafe { self.device.launch("group_by_expert", launch, &args) }
    }

    /// Rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Rows of all experts together.
    pub fn n_pairs(&self) -> usize {
        self.n_rows * self.top_k
    }

    /// Experts.
    pub fn n_experts(&self) -> usize {
        self.n_experts
    }

    /// Experts of a row.
    pub fn top_k(&self) -> usize {
        self.top_k
    }

    /// Pairs of a tile at most.
    pub(crate) fn tile(&self) -> usize {
        self.tile
    }

    /// The most tiles that there can be, whoever works on what; those that are not needed are empty.
    pub(crate) fn n_tiles(&self) -> usize {
        // All but one of each expert's are full.
        let n_pairs = self.n_pairs();
        (n_pairs + n_pairs.min(self.n_experts) * (self.tile - 1)) / self.tile
    }

    /// What `CHOICE_PARAMETERS` in `cu/columns.cuh` declares, for activations that so many pairs in a
    /// row share.
    pub(crate) fn args(&self, sharers: usize) -> [Arg<'_>; 4] {
        [
            Arg::Memory(&self.tiles, 0),
            match self.tile {
                1 => Arg::Null,
                _ => Arg::Memory(&self.order, 0),
            },
            Arg::U32(count(self.n_experts)),
            Arg::U32(count(sharers)),
        ]
    }

    /// `out[row]` = the sum of what the row's pairs say, `[n_pairs, width]`, by their shares, in the
    /// order of the experts; added to what is there if it `adds`.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If a memory is too small.
    pub fn sum(
        &self,
        outputs: &Memory,
        width: usize,
        out: &Memory,
        adds: bool,
    ) -> Result<(), CudaError> {
        check_len(outputs, self.n_pairs() * width, "what experts say");
        check_len(out, self.n_rows * width, "sums of experts");
        if self.n_pairs() * width == 0 {
            return Ok(());
        }
        let args = [
            Arg::Memory(outputs, 0),
            Arg::Memory(&self.experts, 0),
            Arg::Memory(&self.shares, 0),
            Arg::Memory(out, 0),
            Arg::U32(count(width)),
            Arg::U32(count(self.top_k)),
            Arg::U32(adds.into()),
        ];
        let launch = Launch {
            grid: [count(self.n_rows), 1, 1],
            block: [ROW_THREADS, 1, 1],
            shared: 0,
        };
        // SAFETY: a block for each row, which has `top_k` pairs.
        unsafe { self.device.launch("sum_of_experts", launch, &args) }
    }

    fn reserve(&mut self) -> Result<(), CudaError> {
        let wanted = self.n_pairs() * FLOAT;
        for memory in [&mut self.experts, &mut self.shares, &mut self.order] {
            self.device.grow(memory, wanted)?;
        }
        // No more tiles than pairs.
        let wanted = self.n_pairs() * TILE_BYTES;
        self.device.grow(&mut self.tiles, wanted).map(|_| ())
    }
}

use crate::view::{FLOAT, count};
use crate::{Arg, CudaError, Device, Launch, Memory, StepBounds, StepTables};

/// Threads of a block that has a row.
const THREADS: u32 = 64;
/// Bytes of a pair's cosine and sine.
const TURN: usize = 2 * FLOAT;

/// Rotary position encoding: pairs of dimensions turn by their frequency times the position.
#[derive(Clone, Copy, Debug)]
pub struct RopeTable<'a> {
    /// Radians per position for each pair.
    pub frequencies: &'a [f32],
    /// The same for sequences that are planned longer than the first.
    pub long: Option<(usize, &'a [f32])>,
    /// Factor on cosine and sine.
    pub factor: f32,
    /// Dimensions 2i and 2i + 1 turn together; else i and i + n/2, of the n that turn.
    pub interleaved: bool,
}

/// The angles of a step's positions, computed once for all layers that turn by them.
#[derive(Debug)]
pub struct Rope {
    device: Device,
    /// Both tables of frequencies, one after the other.
    frequencies: Memory,
    /// Up to which planned length the first of them counts.
    threshold: u32,
    n_pairs: usize,
    factor: f32,
    interleaved: bool,
    /// Cosine and sine, `[max_rows, n_pairs]`.
    turns: Memory,
}

impl Rope {
    /// Uploads the frequencies.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If the two tables have different lengths.
    pub fn new(device: &Device, table: &RopeTable<'_>, max_rows: usize) -> Result<Self, CudaError> {
        let n_pairs = table.frequencies.len();
        let (threshold, long) = table.long.unwrap_or((usize::MAX, table.frequencies));
        assert_eq!(long.len(), n_pairs, "a frequency for each pair");
        let both = table.frequencies.iter().chain(long);
        let bytes: Vec<u8> = both.flat_map(|frequency| frequency.to_ne_bytes()).collect();
        let frequencies = device.alloc(bytes.len())?;
        device.upload(&bytes, &frequencies, 0)?;
        Ok(Self {
            device: device.clone(),
            frequencies,
            threshold: u32::try_from(threshold).unwrap_or(u32::MAX),
            n_pairs,
            factor: table.factor,
            interleaved: table.interleaved,
            turns: device.alloc(max_rows * n_pairs * TURN)?,
        })
    }

    /// Computes the angles of a step.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If launches for these bounds would not do the step.
    pub fn update(&mut self, tables: &StepTables, bounds: &StepBounds) -> Result<(), CudaError> {
        tables.check(bounds);
        let len = bounds.n_rows * self.n_pairs * TURN;
        self.device.grow(&mut self.turns, len)?;
        if len == 0 {
            return Ok(());
        }
        let launch = Launch {
            grid: [count(bounds.n_rows), 1, 1],
            block: [THREADS, 1, 1],
            shared: 0,
        };
        let args = [
            tables.rows(),
            Arg::Memory(&self.frequencies, 0),
            Arg::Memory(&self.frequencies, self.n_pairs * FLOAT),
            Arg::U32(self.threshold),
            Arg::U32(count(self.n_pairs)),
            Arg::F32(self.factor),
            Arg::Memory(&self.turns, 0),
        ];
        // SAFETY: a block for each row, for which there is room; the tables name spans that are there.
        unsafe { self.device.launch("turns", launch, &args) }
    }

    /// Pairs that turn, after a check that the angles of `n_rows` rows are there.
    pub(super) fn n_pairs(&self, n_rows: usize) -> usize {
        let room = self.turns.len() / (self.n_pairs * TURN).max(1);
        assert!(
            self.n_pairs == 0 || n_rows <= room,
            "angles of {n_rows} rows"
        );
        self.n_pairs
    }

    pub(super) fn turns(&self) -> Arg<'_> {
        Arg::Memory(&self.turns, 0)
    }

    pub(super) fn interleaved(&self) -> bool {
        self.interleaved
    }
}

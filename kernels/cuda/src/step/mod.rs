//! What a step works on, in memory of the device: which rows belong to which sequence, where their
//! keys and values lie, which tokens they are.
//!
//! 1. [`StepTables::new`] plans the memory; its addresses stay the same while the plan suffices, so
//!    that captured launches find the numbers of later steps there.
//! 2. In each step: [`clear`](StepTables::clear), [`push`](StepTables::push) for each span,
//!    [`set_tokens`](StepTables::set_tokens), [`choose`](StepTables::choose).
//! 3. [`StepBounds`] are the sizes that launches are made for: those of the step, or larger ones that
//!    many steps have in common.
//! 4. [`upload_for`](StepTables::upload_for) copies everything at once, laid out for these bounds.

mod bounds;
mod layout;
#[cfg(all(test, feature = "emulated"))]
mod tests;

pub use bounds::StepBounds;

use crate::{Arg, CudaError, Device, Memory};
use layout::Layout;

/// Tokens of a block of the cache.
pub const BLOCK_LEN: usize = 32;

/// Stands for a span that is not there.
const NONE: u32 = u32::MAX;

/// What tables are planned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepShape {
    /// Rows of a step.
    pub max_rows: usize,
    /// Sequences of a step.
    pub max_spans: usize,
    /// Blocks in the lists of all sequences and groups together.
    pub max_blocks: usize,
    /// Groups of layers that share block lists.
    pub groups: Vec<GroupShape>,
    /// Recurrent states of a layer.
    pub n_slots: usize,
}

/// Layers that share block lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupShape {
    /// Keys that a token sees, its own included; all of them without.
    pub window: Option<usize>,
    /// Blocks of each layer's cache.
    pub n_blocks: usize,
}

/// Consecutive tokens of one sequence, the newest it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSpan {
    /// Row of the first token.
    pub first_row: usize,
    /// Tokens.
    pub n_rows: usize,
    /// Position of the first token in its sequence.
    pub position: usize,
    /// How long the sequence will become at most.
    pub planned_len: usize,
    /// Its recurrent states.
    pub slot: Option<u32>,
}

/// The blocks of a sequence in a group of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockList<'a> {
    /// In order of position.
    pub blocks: &'a [u32],
    /// How many blocks before them are no longer there.
    pub n_dropped: usize,
}

/// The tables of a step.
#[derive(Debug)]
pub struct StepTables {
    device: Device,
    shape: StepShape,
    layout: Layout,
    memory: Memory,
    is_uploaded: bool,
    spans: Vec<StepSpan>,
    /// Where a list begins in `blocks` and how many were dropped, group after group for each span.
    lists: Vec<[u32; 2]>,
    blocks: Vec<u32>,
    tokens: Vec<u32>,
    chosen: Vec<u32>,
    /// What is uploaded.
    staged: Vec<u8>,
}

impl StepTables {
    /// Empty tables.
    ///
    /// # Errors
    /// Of the driver.
    pub fn new(device: &Device, shape: StepShape) -> Result<Self, CudaError> {
        let layout = Layout::of_all(&shape);
        Ok(Self {
            device: device.clone(),
            memory: device.alloc(layout.len(shape.max_blocks))?,
            layout,
            shape,
            is_uploaded: false,
            spans: Vec::new(),
            lists: Vec::new(),
            blocks: Vec::new(),
            tokens: Vec::new(),
            chosen: Vec::new(),
            staged: Vec::new(),
        })
    }

    /// What they are planned for, which grows where a step needs more.
    pub fn shape(&self) -> &StepShape {
        &self.shape
    }

    /// Begins a step.
    pub fn clear(&mut self) {
        self.is_uploaded = false;
        self.spans.clear();
        self.lists.clear();
        self.blocks.clear();
        self.tokens.clear();
        self.chosen.clear();
    }

    /// Adds a span, with a block list for each group.
    ///
    /// # Panics
    /// If it has no rows or shares some with the span before it, lists are missing, blocks that its
    /// tokens see are not in them or not in the cache, or its slot is not there.
    pub fn push<'a>(&mut self, span: StepSpan, lists: impl IntoIterator<Item = BlockList<'a>>) {
        let first_free = self
            .spans
            .last()
            .map_or(0, |last| last.first_row + last.n_rows);
        assert!(
            span.n_rows > 0 && span.first_row >= first_free,
            "span {span:?} is empty or begins before row {first_free}"
        );
        self.is_uploaded = false;
        let n_slots = self.shape.n_slots;
        assert!(
            span.slot
                .map_or(n_slots == 0, |slot| (slot as usize) < n_slots),
            "slot {:?} of {n_slots}",
            span.slot
        );
        let mut groups = self.shape.groups.iter();
        for list in lists {
            let group = groups.next().expect("no more lists than groups");
            group.check(&span, &list);
            let first = u32::try_from(list.n_dropped).expect("positions fit into 32 bits");
            let start = u32::try_from(self.blocks.len()).expect("fewer blocks than 32 bits count");
            self.lists.push([start, first]);
            self.blocks.extend_from_slice(list.blocks);
        }
        assert!(groups.next().is_none(), "a list for each group");
        self.spans.push(span);
    }

    /// Says which token each row is.
    pub fn set_tokens(&mut self, tokens: &[u32]) {
        self.is_uploaded = false;
        self.tokens.clear();
        self.tokens.extend_from_slice(tokens);
    }

    /// Names the rows that [`select`](crate::elementwise::select) takes.
    ///
    /// # Panics
    /// If the step has no such row.
    pub fn choose(&mut self, rows: &[usize]) {
        self.is_uploaded = false;
        let n_rows = self.n_rows();
        assert!(
            rows.len() <= n_rows,
            "{} rows chosen of {n_rows}",
            rows.len()
        );
        self.chosen.clear();
        self.chosen.extend(rows.iter().map(|&row| {
            assert!(row < n_rows, "row {row} of {n_rows}");
            row as u32
        }));
    }

    /// Brings the step to the device, for any launches that the plan allows for. Memory grows where the
    /// plan does not suffice.
    ///
    /// # Errors
    /// Of the driver.
    pub fn upload(&mut self) -> Result<(), CudaError> {
        self.grow(&self.bounds())?;
        self.bring(Layout::of_all(&self.shape))
    }

    /// As [`upload`](Self::upload), for launches with these bounds: as few bytes as they need. Steps
    /// with the same bounds lie at the same addresses.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If launches for these bounds would not do the step.
    pub fn upload_for(&mut self, bounds: &StepBounds) -> Result<(), CudaError> {
        let own = self.bounds();
        assert!(bounds.covers(&own), "{own:?} is beyond {bounds:?}");
        self.grow(bounds)?;
        self.bring(Layout::new(&self.shape, bounds))
    }

    fn bring(&mut self, layout: Layout) -> Result<(), CudaError> {
        self.layout = layout;
        self.stage();
        self.device.upload(&self.staged, &self.memory, 0)?;
        self.is_uploaded = true;
        Ok(())
    }

    /// The sizes of this step.
    pub fn bounds(&self) -> StepBounds {
        StepBounds::of(&self.spans, self.n_rows())
    }

    /// The tokens of all rows: a memory, and the byte where they begin.
    pub fn tokens(&self) -> (&Memory, usize) {
        (&self.memory, self.layout.tokens)
    }

    /// Rows of this step: up to the last one of a span.
    pub fn n_rows(&self) -> usize {
        let end = self
            .spans
            .last()
            .map_or(0, |last| last.first_row + last.n_rows);
        end.max(self.tokens.len())
    }

    /// # Panics
    /// If launches for `bounds` would not do this step, the tables are not laid out for them, or not
    /// uploaded.
    pub(crate) fn check(&self, bounds: &StepBounds) {
        let own = self.bounds();
        assert!(bounds.covers(&own), "{own:?} is beyond {bounds:?}");
        assert!(
            self.layout.fits(bounds),
            "{bounds:?} is beyond {:?}",
            self.layout
        );
        assert!(self.is_uploaded, "a step that was not uploaded");
    }

    fn at(&self, byte: usize) -> Arg<'_> {
        Arg::Memory(&self.memory, byte)
    }

    pub(crate) fn chosen(&self) -> Arg<'_> {
        self.at(self.layout.chosen)
    }

    /// What each row is.
    pub(crate) fn rows(&self) -> Arg<'_> {
        self.at(self.layout.rows)
    }

    /// Where the keys and values of each row go in the caches of a group.
    pub(crate) fn places(&self, group: usize) -> Arg<'_> {
        self.at(self.layout.places_of(group))
    }

    /// The spans of a group: first the short ones.
    pub(crate) fn spans(&self, group: usize) -> Arg<'_> {
        self.at(self.layout.spans_of(group))
    }

    /// The long spans of a group.
    pub(crate) fn long_spans(&self, group: usize) -> Arg<'_> {
        self.at(self.layout.long_spans_of(group))
    }

    pub(crate) fn blocks(&self) -> Arg<'_> {
        self.at(self.layout.blocks)
    }
}

impl GroupShape {
    /// # Panics
    /// If a block that the tokens of a span see is missing.
    fn check(&self, span: &StepSpan, list: &BlockList<'_>) {
        let first_seen = self
            .window
            .map_or(0, |window| (span.position + 1).saturating_sub(window));
        let seen = first_seen / BLOCK_LEN..(span.position + span.n_rows).div_ceil(BLOCK_LEN);
        let held = list.n_dropped..list.n_dropped + list.blocks.len();
        assert!(
            held.start <= seen.start && seen.end <= held.end,
            "blocks {seen:?} are seen, {held:?} are there"
        );
        let is_there = |&block: &u32| (block as usize) < self.n_blocks;
        assert!(
            list.blocks.iter().all(is_there),
            "a block beyond the {} of the cache",
            self.n_blocks
        );
    }
}

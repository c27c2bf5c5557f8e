//! Where the tables lie, and how they are put together.

use super::bounds::is_short;
use super::{BLOCK_LEN, NONE, StepBounds, StepShape, StepSpan, StepTables};
use crate::CudaError;

/// Bytes of a word.
const WORD: usize = 4;
/// Words of what is known of a row: position, planned length, span.
const ROW_WORDS: usize = 4;
/// Words of what is known of a span: first row, rows, position, slot, where its blocks begin, and
/// which block of the sequence the first of them is.
const SPAN_WORDS: usize = 8;

/// Where each table begins, in bytes. Blocks come last, as many as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    n_rows: usize,
    n_short: usize,
    n_long: usize,
    n_groups: usize,
    pub(super) tokens: usize,
    pub(super) chosen: usize,
    pub(super) rows: usize,
    places: usize,
    spans: usize,
    pub(super) blocks: usize,
}

impl Layout {
    /// For launches with these bounds.
    pub(super) fn new(shape: &StepShape, bounds: &StepBounds) -> Self {
        let mut end = 0;
        let mut table = |n_words: usize| {
            let start = end;
            end += (WORD * n_words).next_multiple_of(32);
            start
        };
        // Models without any attention have spans too.
        let n_groups = shape.groups.len().max(1);
        let n_spans = bounds.n_short + bounds.n_long;
        Self {
            n_rows: bounds.n_rows,
            n_short: bounds.n_short,
            n_long: bounds.n_long,
            n_groups,
            tokens: table(bounds.n_rows),
            chosen: table(bounds.n_rows),
            rows: table(ROW_WORDS * bounds.n_rows),
            places: table(n_groups * bounds.n_rows),
            spans: table(SPAN_WORDS * n_groups * n_spans),
            blocks: table(0),
        }
    }

    /// For all launches that are planned for.
    pub(super) fn of_all(shape: &StepShape) -> Self {
        let bounds = StepBounds {
            n_rows: shape.max_rows,
            n_short: shape.max_spans,
            n_long: shape.max_spans,
            ..StepBounds::default()
        };
        Self::new(shape, &bounds)
    }

    /// Bytes with so many blocks.
    pub(super) fn len(&self, n_blocks: usize) -> usize {
        self.blocks + WORD * n_blocks
    }

    pub(super) fn fits(&self, bounds: &StepBounds) -> bool {
        bounds.n_rows <= self.n_rows
            && bounds.n_short <= self.n_short
            && bounds.n_long <= self.n_long
    }

    pub(super) fn places_of(&self, group: usize) -> usize {
        self.places + WORD * group * self.n_rows
    }

    pub(super) fn spans_of(&self, group: usize) -> usize {
        self.spans + WORD * SPAN_WORDS * group * (self.n_short + self.n_long)
    }

    pub(super) fn long_spans_of(&self, group: usize) -> usize {
        self.spans_of(group) + WORD * SPAN_WORDS * self.n_short
    }
}

impl StepTables {
    /// Makes room for launches with these bounds, and some more.
    pub(super) fn grow(&mut self, bounds: &StepBounds) -> Result<(), CudaError> {
        let shape = &mut self.shape;
        let n_spans = bounds.n_short.max(bounds.n_long);
        for (planned, wanted) in [
            (&mut shape.max_rows, bounds.n_rows),
            (&mut shape.max_spans, n_spans),
            (&mut shape.max_blocks, self.blocks.len()),
        ] {
            if wanted > *planned {
                *planned = wanted.next_power_of_two();
            }
        }
        let len = Layout::of_all(shape).len(shape.max_blocks);
        if len > self.memory.len() {
            self.memory = self.device.alloc(len)?;
        }
        Ok(())
    }

    /// Puts the tables together. What no span uses is filled too, so that launches for larger steps
    /// find nothing to do there.
    pub(super) fn stage(&mut self) {
        let layout = self.layout;
        self.staged.clear();
        self.staged.resize(layout.len(self.blocks.len()), 0);
        put_all(&mut self.staged, layout.blocks, &self.blocks);
        put_all(&mut self.staged, layout.tokens, &self.tokens);
        put_all(&mut self.staged, layout.chosen, &self.chosen);
        for row in 0..layout.n_rows {
            put(&mut self.staged, layout.rows, row, [0, 0, NONE, 0]);
            for group in 0..layout.n_groups {
                put(&mut self.staged, layout.places_of(group), row, [NONE]);
            }
        }
        let [mut n_short, mut n_long] = [0; 2];
        for index in 0..self.spans.len() {
            let span = self.spans[index];
            let place = if is_short(&span) {
                n_short += 1;
                n_short - 1
            } else {
                n_long += 1;
                layout.n_short + n_long - 1
            };
            self.stage_span(index, &span, place);
        }
    }

    /// Fills in a span and its rows, `place` in the lists of spans.
    fn stage_span(&mut self, index: usize, span: &StepSpan, place: usize) {
        let layout = self.layout;
        for i in 0..span.n_rows {
            let row = [span.position + i, span.planned_len, place].map(word);
            let row = [row[0], row[1], row[2], 0];
            put(&mut self.staged, layout.rows, span.first_row + i, row);
        }
        let sizes = [span.first_row, span.n_rows, span.position].map(word);
        let slot = span.slot.unwrap_or(NONE);
        for group in 0..layout.n_groups {
            let list = self.lists.get(index * layout.n_groups + group);
            let [start, first] = list.copied().unwrap_or_default();
            let entry = [sizes[0], sizes[1], sizes[2], slot, start, first, 0, 0];
            put(&mut self.staged, layout.spans_of(group), place, entry);
            // Without attention there are no blocks to go to.
            let n_places = if list.is_some() { span.n_rows } else { 0 };
            for i in 0..n_places {
                let position = span.position + i;
                let entry = start as usize + position / BLOCK_LEN - first as usize;
                let at = self.blocks[entry] as usize * BLOCK_LEN + position % BLOCK_LEN;
                let row = span.first_row + i;
                put(&mut self.staged, layout.places_of(group), row, [word(at)]);
            }
        }
    }
}

fn word(n: usize) -> u32 {
    u32::try_from(n).expect("positions and places in a cache fit into 32 bits")
}

/// Writes an entry of a table that begins at a byte.
fn put<const N: usize>(staged: &mut [u8], table: usize, index: usize, entry: [u32; N]) {
    let words = staged[table..].as_chunks_mut().0;
    for (bytes, word) in words[index * N..].iter_mut().zip(entry) {
        *bytes = word.to_ne_bytes();
    }
}

fn put_all(staged: &mut [u8], table: usize, words: &[u32]) {
    for (index, &word) in words.iter().enumerate() {
        put(staged, table, index, [word]);
    }
}

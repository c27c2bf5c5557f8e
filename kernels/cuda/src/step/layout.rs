//! Where the tables lie, and how they are put together.

use super::bounds::is_short;
use super::{LIST_WORDS, NONE, SPAN_WORDS, StepShape, StepTables};
use crate::CudaError;

/// Where each table begins, in bytes. Blocks come last: only those that are there are uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) spans: usize,
    pub(super) lists: usize,
    pub(super) short: usize,
    pub(super) long: usize,
    pub(super) spans_of_rows: usize,
    pub(super) tokens: usize,
    pub(super) chosen: usize,
    pub(super) blocks: usize,
}

impl Layout {
    pub(super) fn new(shape: &StepShape) -> Self {
        let mut end = 0;
        let mut table = |n_words: usize| {
            let start = end;
            end += (4 * n_words).next_multiple_of(32);
            start
        };
        Self {
            tokens: table(shape.max_rows),
            spans: table(SPAN_WORDS * shape.max_spans),
            lists: table(LIST_WORDS * shape.max_spans * shape.groups.len()),
            short: table(shape.max_spans),
            long: table(shape.max_spans),
            spans_of_rows: table(shape.max_rows),
            chosen: table(shape.max_rows),
            blocks: table(0),
        }
    }

    /// Bytes with so many blocks.
    pub(super) fn len(&self, n_blocks: usize) -> usize {
        self.blocks + 4 * n_blocks
    }
}

impl StepTables {
    /// Makes room for the step, with as much again for the next ones.
    pub(super) fn grow(&mut self) -> Result<(), CudaError> {
        let shape = &self.shape;
        let grown = |planned: usize, n: usize| {
            if n > planned {
                n.next_power_of_two()
            } else {
                planned
            }
        };
        let wanted = StepShape {
            max_rows: grown(shape.max_rows, self.n_rows().max(self.chosen.len())),
            max_spans: grown(shape.max_spans, self.spans.len()),
            max_blocks: grown(shape.max_blocks, self.blocks.len()),
            ..shape.clone()
        };
        if wanted != *shape {
            let layout = Layout::new(&wanted);
            self.memory = self.device.alloc(layout.len(wanted.max_blocks))?;
            (self.shape, self.layout) = (wanted, layout);
            self.generation += 1;
        }
        Ok(())
    }

    /// Puts the tables together. What no span uses is filled too, so that launches for larger steps
    /// find nothing to do there.
    pub(super) fn stage(&mut self) {
        let layout = self.layout;
        self.staged.clear();
        self.staged.resize(layout.len(self.blocks.len()), 0);
        self.fill(layout.short, self.shape.max_spans, NONE);
        self.fill(layout.long, self.shape.max_spans, NONE);
        self.fill(layout.spans_of_rows, self.shape.max_rows, NONE);
        put(&mut self.staged, layout.tokens, &self.tokens);
        put(&mut self.staged, layout.chosen, &self.chosen);
        put(&mut self.staged, layout.blocks, &self.blocks);

        let n_groups = self.shape.groups.len();
        let [mut short, mut long] = [layout.short, layout.long];
        for (index, span) in self.spans.iter().enumerate() {
            let word = |n: usize| u32::try_from(n).expect("positions fit into 32 bits");
            let entry = [
                word(span.first_row),
                word(span.n_rows),
                word(span.position),
                span.slot.unwrap_or(NONE),
                word(span.planned_len),
            ];
            put(
                &mut self.staged,
                layout.spans + 4 * SPAN_WORDS * index,
                &entry,
            );
            let own = index as u32;
            let order = if is_short(span) {
                &mut short
            } else {
                &mut long
            };
            put(&mut self.staged, *order, &[own]);
            *order += 4;
            let rows = layout.spans_of_rows + 4 * span.first_row;
            for row in 0..span.n_rows {
                put(&mut self.staged, rows + 4 * row, &[own]);
            }
            for group in 0..n_groups {
                let list = self.lists[index * n_groups + group];
                let at = group * self.shape.max_spans + index;
                put(&mut self.staged, layout.lists + 4 * LIST_WORDS * at, &list);
            }
        }
    }

    fn fill(&mut self, at: usize, n_words: usize, word: u32) {
        for bytes in self.staged[at..at + 4 * n_words].as_chunks_mut().0 {
            *bytes = word.to_ne_bytes();
        }
    }
}

fn put(staged: &mut [u8], at: usize, words: &[u32]) {
    let bytes = staged[at..].as_chunks_mut().0;
    for (bytes, word) in bytes.iter_mut().zip(words) {
        *bytes = word.to_ne_bytes();
    }
}

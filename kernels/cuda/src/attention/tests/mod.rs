//! All kernels against softmax in double precision over all tokens at once, with keys, values and
//! queries rounded as the kernels round them; and appending against one plain step after the other.

mod append;
mod at_once;
mod attend;
mod format;

use super::*;
use crate::Device;
use crate::step::{BLOCK_LEN, BlockList, GroupShape, StepShape, StepSpan};
use crate::testing::Random;

/// One sequence of a step, with everything that it has seen.
struct Sequence {
    /// Tokens before the step.
    position: usize,
    n_rows: usize,
    /// `[position + n_rows, n_kv_heads * head_dim]`
    keys: Vec<f32>,
    values: Vec<f32>,
    blocks: Vec<u32>,
    /// Blocks that are no longer in its table in the step.
    n_dropped: usize,
}

impl Sequence {
    /// Its rows of the step, the first of them at a row.
    fn push(&self, tables: &mut StepTables, first_row: usize) {
        let span = StepSpan {
            first_row,
            n_rows: self.n_rows,
            position: self.position,
            planned_len: self.position + self.n_rows,
            slot: None,
        };
        let list = BlockList {
            blocks: &self.blocks[self.n_dropped..],
            n_dropped: self.n_dropped,
        };
        tables.push(span, [list]);
    }
}

/// A layer, its cache, and a step.
struct Case {
    device: Device,
    n_heads: usize,
    window: Option<usize>,
    /// Of the heads, where they have some.
    sinks: Option<Vec<f32>>,
    cache: CacheLayer,
    sequences: Vec<Sequence>,
    /// Row of each sequence's first token; there may be rows between that are nobody's.
    first_rows: Vec<usize>,
}

impl Case {
    /// Sequences of `(position, n_rows)`, their blocks scattered over the cache, which holds no
    /// numbers where nothing was written.
    fn new(
        random: &mut Random,
        (n_heads, shape): (usize, CacheShape),
        window: Option<usize>,
        spans: &[(usize, usize)],
    ) -> Self {
        let device = Device::for_tests();
        let n_blocks: usize = spans
            .iter()
            .map(|(position, n)| (position + n).div_ceil(BLOCK_LEN))
            .sum();
        let shape = CacheShape {
            n_blocks: n_blocks + 2,
            ..shape
        };
        let cache = CacheLayer::new(&device, shape).expect("there is memory");
        for memory in cache.memories() {
            let garbage = vec![0xff; memory.len()];
            device.upload(&garbage, memory, 0).expect("it fits");
        }
        let mut places = random.permutation(shape.n_blocks).into_iter();
        let width = shape.n_kv_heads * shape.head_dim;
        let mut first_rows = Vec::new();
        let mut row = 0;
        let mut sequences = Vec::new();
        for &(position, n_rows) in spans {
            row += random.below(2);
            first_rows.push(row);
            row += n_rows;
            let len = position + n_rows;
            let first_seen = window.map_or(0, |window| (position + 1).saturating_sub(window));
            sequences.push(Sequence {
                position,
                n_rows,
                keys: random.floats(len * width),
                values: random.floats(len * width),
                blocks: places.by_ref().take(len.div_ceil(BLOCK_LEN)).collect(),
                n_dropped: random.below(first_seen / BLOCK_LEN + 1),
            });
        }
        Self {
            device,
            n_heads,
            window,
            sinks: None,
            cache,
            sequences,
            first_rows,
        }
    }

    /// Empty tables.
    fn tables(&self, max_rows: usize, max_spans: usize) -> StepTables {
        let shape = StepShape {
            max_rows,
            max_spans,
            max_blocks: 3,
            groups: vec![GroupShape {
                window: self.window,
                n_blocks: self.cache.shape().n_blocks,
            }],
            n_slots: 0,
        };
        StepTables::new(&self.device, shape).expect("there is memory")
    }

    /// The step in these tables.
    fn put_step(&self, mut tables: StepTables) -> StepTables {
        for (sequence, &first_row) in self.sequences.iter().zip(&self.first_rows) {
            sequence.push(&mut tables, first_row);
        }
        tables.upload().expect("there is memory");
        tables
    }

    /// The tables of the step, planned small, so that they grow.
    fn step(&self) -> StepTables {
        self.put_step(self.tables(4, 2))
    }

    /// The tables of a step with all that sequences had seen before.
    fn history(&self) -> StepTables {
        let mut tables = self.tables(4, 2);
        let mut first_row = 0;
        for sequence in self
            .sequences
            .iter()
            .filter(|sequence| sequence.position > 0)
        {
            let span = StepSpan {
                first_row,
                n_rows: sequence.position,
                position: 0,
                planned_len: sequence.position,
                slot: None,
            };
            let blocks = &sequence.blocks;
            tables.push(
                span,
                [BlockList {
                    blocks,
                    n_dropped: 0,
                }],
            );
            first_row += sequence.position;
        }
        tables.upload().expect("there is memory");
        tables
    }

    /// Rows of the step.
    fn n_rows(&self) -> usize {
        let last = self.sequences.last().expect("a sequence");
        self.first_rows.last().expect("a sequence") + last.n_rows
    }
}

//! What the step at hand is made of, on the device, and what its layers share.

use ponder_kernels_cuda::{
    CudaError, Device,
    attention::{AttentionScratch, Rope, RopeTable},
    step::{BlockList, GroupShape, StepBounds, StepShape, StepSpan, StepTables},
};

use super::{
    graphs::{Graphs, Size},
    meter::StepClock,
};
use crate::{
    backend::{DEVICE_PREFILL_ROWS, StepInputs, StepOutput},
    cache::{BLOCK_LEN, CacheCapacity, CachePlan},
    spec,
};

/// Sequences of a step that are planned for, beside [`DEVICE_PREFILL_ROWS`]; tables grow where one has more.
const MAX_SPANS: usize = 256;

/// Tables, angles and scratch.
#[derive(Debug)]
pub(super) struct StepState {
    device: Device,
    n_groups: usize,
    pub(super) tables: StepTables,
    pub(super) bounds: StepBounds,
    pub(super) scratch: AttentionScratch,
    pub(super) graphs: Graphs,
    /// Rows that are selected in the end, and the same rounded up.
    pub(super) n_wanted: usize,
    pub(super) n_chosen: usize,
    /// What the step ends in.
    pub(super) output: StepOutput,
    /// Position encodings, by their place in the model's list.
    pub(super) ropes: Vec<Turns>,
}

/// A position encoding, and whether it is turned to the step at hand.
#[derive(Debug, Default)]
pub(super) struct Turns {
    pub(super) rope: Option<Rope>,
    is_current: bool,
}

impl StepState {
    pub(super) fn new(
        device: &Device,
        plan: &CachePlan,
        capacity: CacheCapacity,
    ) -> Result<Self, CudaError> {
        let groups = plan.groups.iter().map(|group| GroupShape {
            window: group.window,
            n_blocks: capacity.n_blocks,
        });
        let n_slots = match plan.recurrent.is_empty() {
            true => 0,
            false => capacity.n_slots,
        };
        let shape = StepShape {
            max_rows: DEVICE_PREFILL_ROWS,
            max_spans: MAX_SPANS,
            max_blocks: plan.groups.len() * capacity.n_blocks,
            groups: groups.collect(),
            n_slots,
        };
        Ok(Self {
            n_groups: plan.groups.len(),
            tables: StepTables::new(device, shape)?,
            bounds: StepBounds::default(),
            scratch: AttentionScratch::new(device)?,
            graphs: Graphs::default(),
            n_wanted: 0,
            n_chosen: 0,
            output: StepOutput::Logits,
            ropes: Vec::new(),
            device: device.clone(),
        })
    }

    /// Brings over what a step is made of.
    pub(super) fn begin(
        &mut self,
        step: &StepInputs<'_>,
        clock: &mut StepClock,
    ) -> Result<(), CudaError> {
        self.tables.clear();
        for span in step.batch.spans {
            let sequence = step.batch.cache.sequence(span.sequence);
            let sequence = sequence.expect("the cache made room for it");
            let lists = (0..self.n_groups).map(|group| {
                let table = sequence.table(group);
                BlockList {
                    blocks: table.blocks(),
                    n_dropped: table.first_position() / BLOCK_LEN,
                }
            });
            let span = StepSpan {
                first_row: span.first_row,
                n_rows: span.len,
                position: span.position,
                planned_len: sequence.planned_len(),
                slot: sequence.slot(),
            };
            self.tables.push(span, lists);
        }
        self.tables.set_tokens(step.tokens);
        self.tables.choose(step.rows);
        self.ropes
            .iter_mut()
            .for_each(|turns| turns.is_current = false);
        self.bounds = self.tables.bounds();
        self.n_wanted = step.rows.len();
        self.n_chosen = self.n_wanted;
        self.output = step.output;
        let can_be_recorded = step.output != StepOutput::Hidden && self.graphs.is_on();
        let size = match can_be_recorded {
            true => Size::of(&self.bounds, self.n_wanted),
            false => None,
        };
        if let Some(size) = size {
            (self.bounds, self.n_chosen) = (size.bounds, size.n_chosen);
        }
        self.tables.upload_for(&self.bounds)?;
        clock.begin()?;
        self.graphs.begin(&self.device, size)
    }

    /// Turns a position encoding to the step, unless it is already, by its place in the model's list.
    pub(super) fn turn(&mut self, index: usize, table: &spec::RopeTable) -> Result<(), CudaError> {
        if self.ropes.len() <= index {
            self.ropes.resize_with(index + 1, Turns::default);
        }
        let turns = &mut self.ropes[index];
        if turns.is_current {
            return Ok(());
        }
        let rope = match turns.rope.take() {
            Some(rope) => rope,
            None => {
                let long = table.long.as_ref();
                let table = RopeTable {
                    frequencies: &table.inv_freq,
                    long: long.map(|(len, frequencies)| (*len, &frequencies[..])),
                    factor: table.attention_factor,
                    interleaved: table.interleaved,
                };
                Rope::new(&self.device, &table, DEVICE_PREFILL_ROWS)?
            }
        };
        turns.rope.insert(rope).update(&self.tables, &self.bounds)?;
        turns.is_current = true;
        Ok(())
    }
}

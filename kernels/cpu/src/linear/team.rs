//! Products on several threads, with what follows them fused.

use std::cell::UnsafeCell;
use std::io;

use super::Matrix;
use crate::elementwise::{self, Activation};
use crate::threads::{SharedSlice, Threads};
use crate::{Bf16Rows, Int8Rows, Isa};

/// Bytes of weights that a task reads at least, when there are few rows: a few microseconds of
/// work, many times what dealing it out costs.
const BYTES_PER_TASK: usize = 64 << 10;
/// Rows of input from which tasks are as small as can be: there is work enough in each.
const MANY_ROWS: usize = 16;

/// Threads, and the memory that each works in.
#[derive(Debug)]
pub struct Team {
    isa: Isa,
    threads: Threads,
    scratch: PerThread,
}

/// The scratch of every thread.
#[derive(Debug)]
struct PerThread(Box<[UnsafeCell<Scratch>]>);

// SAFETY: an element is only reached through `get`, whose callers promise to be alone.
unsafe impl Sync for PerThread {}

impl PerThread {
    /// # Safety
    /// Nobody else uses the scratch of that thread while this is in use.
    #[allow(clippy::mut_from_ref)] // The safety condition is what makes it sound.
    unsafe fn get(&self, thread: usize) -> &mut Scratch {
        // SAFETY: this function's own condition.
        unsafe { &mut *self.0[thread].get() }
    }
}

/// Working memory of a thread. It grows to what the largest product needs.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    tiles: [Vec<f32>; 2],
    pub(super) bytes: Vec<u8>,
    pub(super) floats: Vec<f32>,
}

/// Rows of activations, as they are and as [kernels want them](super::Rounding): a product for which
/// they are not rounded is computed in float32.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `[n, k]`
    pub values: &'a [f32],
    /// The same, rounded to eight bits.
    pub int8: Option<&'a Int8Rows>,
    /// The same, rounded to bfloat16.
    pub bf16: Option<&'a Bf16Rows>,
}

/// A matrix and what is added to its product.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// `[width, k]`
    pub matrix: &'a Matrix,
    /// `[width]`
    pub bias: Option<&'a [f32]>,
}

/// Where a product goes. Each is `[n, width]`.
#[derive(Debug)]
pub enum Output<'a> {
    /// It replaces what was there.
    Replace(&'a mut [f32]),
    /// It is added.
    Add(&'a mut [f32]),
}

impl Team {
    /// `n` threads, the caller's own among them.
    ///
    /// # Errors
    /// When the system gives no more threads.
    ///
    /// # Panics
    /// If this machine does not have the instruction set.
    pub fn new(isa: Isa, n: usize) -> io::Result<Self> {
        assert!(isa.is_available(), "this machine has no {}", isa.name());
        let threads = Threads::new(n)?;
        let scratch = PerThread((0..threads.len()).map(|_| UnsafeCell::default()).collect());
        Ok(Self {
            isa,
            threads,
            scratch,
        })
    }

    /// The instruction set that kernels use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The threads, for other kernels.
    #[must_use]
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// Several products of the same `n` rows of input, all at once.
    ///
    /// # Panics
    /// If the sizes of input, matrices, biases and outputs do not fit.
    pub fn multiply<const N: usize>(
        &self,
        n: usize,
        x: Input<'_>,
        parts: [(Product<'_>, Output<'_>); N],
    ) {
        let parts = parts.map(|(product, out)| Part::new(n, &x, product, out));
        let mut first_tasks = [0; N];
        let mut n_tasks = 0;
        for (first, part) in first_tasks.iter_mut().zip(&parts) {
            *first = n_tasks;
            n_tasks += part.n_tasks();
        }
        self.run(n_tasks, &|task, scratch| {
            let part_idx = first_tasks.partition_point(|&first| first <= task) - 1;
            let part = &parts[part_idx];
            for panel in part.panels(task - first_tasks[part_idx]) {
                let mut tile = part.take_tile(&mut scratch.tiles[0]);
                part.product
                    .matrix
                    .panel(self.isa, panel, &x, &mut tile, scratch);
                part.product.add_bias(panel, &mut tile);
                part.write(panel, &tile);
                scratch.tiles[0] = tile;
            }
        });
    }

    /// `out = activation(x @ gateᵀ) * (x @ upᵀ)`.
    ///
    /// # Panics
    /// If the sizes do not fit.
    pub fn multiply_gated(
        &self,
        n: usize,
        x: Input<'_>,
        [gate, up]: [Product<'_>; 2],
        activation: Activation,
        out: &mut [f32],
    ) {
        if gate.matrix.panel_len() != up.matrix.panel_len() {
            // Two kinds of matrices, whose panels do not match: one after the other.
            let mut up_rows = vec![0.0; out.len()];
            self.multiply(n, x, [(gate, Output::Replace(out))]);
            self.multiply(n, x, [(up, Output::Replace(&mut up_rows))]);
            return elementwise::gated(self.isa, activation, out, &up_rows);
        }
        assert_eq!(gate.matrix.n_rows(), up.matrix.n_rows());
        up.check(n, &x);
        let part = Part::new(n, &x, gate, Output::Replace(out));
        self.run(part.n_tasks(), &|task, scratch| {
            for panel in part.panels(task) {
                let mut gate_tile = part.take_tile(&mut scratch.tiles[0]);
                let mut up_tile = part.take_tile(&mut scratch.tiles[1]);
                gate.matrix
                    .panel(self.isa, panel, &x, &mut gate_tile, scratch);
                up.matrix.panel(self.isa, panel, &x, &mut up_tile, scratch);
                gate.add_bias(panel, &mut gate_tile);
                up.add_bias(panel, &mut up_tile);
                elementwise::gated(self.isa, activation, &mut gate_tile, &up_tile);
                part.write(panel, &gate_tile);
                scratch.tiles = [gate_tile, up_tile];
            }
        });
    }

    /// Calls `work(row, values)` for each row of `rows`, `[n, width]`: on this thread where there are
    /// few, else on all.
    ///
    /// # Panics
    /// If `rows` is not a whole number of rows.
    pub fn each_row(
        &self,
        rows: &mut [f32],
        width: usize,
        work: &(dyn Fn(usize, &mut [f32]) + Sync),
    ) {
        if rows.is_empty() {
            return;
        }
        assert!(rows.len().is_multiple_of(width), "whole rows");
        let n = rows.len() / width;
        if n < MANY_ROWS {
            let rows = rows.chunks_exact_mut(width).enumerate();
            return rows.for_each(|(index, row)| work(index, row));
        }
        let rows = SharedSlice::new(rows);
        self.threads.run(n, &|row, _| {
            // SAFETY: each task has a row of its own.
            work(row, unsafe { rows.part(row * width..(row + 1) * width) });
        });
    }

    fn run(&self, n_tasks: usize, work: &(dyn Fn(usize, &mut Scratch) + Sync)) {
        self.threads.run(n_tasks, &|task, thread| {
            // SAFETY: `Threads::run` lets one caller in at a time, and gives no two calls at the
            // same time the same thread number.
            work(task, unsafe { self.scratch.get(thread) });
        });
    }
}

impl Product<'_> {
    fn check(&self, n: usize, x: &Input<'_>) {
        let k = self.matrix.k();
        assert_eq!(x.values.len(), n * k, "the input is [n, k]");
        let int8 = x.int8.is_none_or(|x| (x.n(), x.k()) == (n, k));
        let bf16 = x.bf16.is_none_or(|x| (x.n(), x.k()) == (n, k));
        assert!(int8 && bf16, "the rounded input is that of this input");
        let bias = self
            .bias
            .is_none_or(|bias| bias.len() == self.matrix.n_rows());
        assert!(bias, "one bias for each row of the matrix");
    }

    fn add_bias(&self, panel: usize, tile: &mut [f32]) {
        let Some(bias) = self.bias else { return };
        let len = self.matrix.panel_len();
        for row in tile.chunks_exact_mut(len) {
            let bias = &bias[panel * len..];
            row.iter_mut()
                .zip(bias)
                .for_each(|(sum, bias)| *sum += bias);
        }
    }
}

/// One product and its output, divided into tasks.
struct Part<'a> {
    product: Product<'a>,
    n: usize,
    out: SharedSlice<'a, f32>,
    add: bool,
    panels_per_task: usize,
}

impl<'a> Part<'a> {
    fn new(n: usize, x: &Input<'_>, product: Product<'a>, out: Output<'a>) -> Self {
        product.check(n, x);
        let (out, add) = match out {
            Output::Replace(out) => (out, false),
            Output::Add(out) => (out, true),
        };
        let matrix = product.matrix;
        assert_eq!(out.len(), n * matrix.n_rows(), "the output is [n, width]");
        let panel_bytes = matrix.n_bytes() / matrix.n_panels().max(1);
        let panels_per_task = if n >= MANY_ROWS {
            1
        } else {
            (BYTES_PER_TASK / n.max(1) / panel_bytes.max(1)).max(1)
        };
        Self {
            product,
            n,
            out: SharedSlice::new(out),
            add,
            panels_per_task,
        }
    }

    fn n_tasks(&self) -> usize {
        self.product
            .matrix
            .n_panels()
            .div_ceil(self.panels_per_task)
    }

    fn panels(&self, task: usize) -> std::ops::Range<usize> {
        let first = task * self.panels_per_task;
        first
            ..self
                .product
                .matrix
                .n_panels()
                .min(first + self.panels_per_task)
    }

    /// A tile for all rows of the input; given back to the scratch when it has been used.
    fn take_tile(&self, tile: &mut Vec<f32>) -> Vec<f32> {
        let mut tile = std::mem::take(tile);
        tile.resize(self.n * self.product.matrix.panel_len(), 0.0);
        tile
    }

    #[allow(clippy::needless_range_loop)] // Two slices of one length, which vectorizes.
    fn write(&self, panel: usize, tile: &[f32]) {
        let (len, width) = (
            self.product.matrix.panel_len(),
            self.product.matrix.n_rows(),
        );
        let columns = panel * len..width.min((panel + 1) * len);
        for (n, tile) in tile.chunks_exact(len).enumerate() {
            // SAFETY: each panel belongs to one task, and has columns of its own.
            let out = unsafe {
                self.out
                    .part(n * width + columns.start..n * width + columns.end)
            };
            let tile = &tile[..out.len()];
            if self.add {
                for i in 0..out.len() {
                    out[i] += tile[i];
                }
            } else {
                out.copy_from_slice(tile);
            }
        }
    }
}

//! The processor: our own kernels on our own threads.
//!
//! Weights are packed at load into the layout that their kernel reads, and the file's pages are let
//! go. Products of quantized weights work on activations that are rounded to eight bits (those of
//! bfloat16 to the same type, where the processor multiplies it), once for all projections that read
//! them; [`Precision::Exact`] leaves activations as they are, to verify
//! everything else bit by bit against the [reference](super::reference).

mod attention;
mod buffer;
mod experts;
mod recurrent;
mod state;
mod weight;

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;

pub use buffer::Buffer;
pub use ponder_kernels_cpu::Isa;
pub use state::State;
pub use weight::Weight;
#[cfg(feature = "cuda-backend")]
pub(super) use weight::encoding;

use ponder_kernels_cpu::{Arena, elementwise, linear};

use super::{
    AttentionLayer, Backend, BackendError, Batch, Begun, Experts, KvFormat, Linear, RecurrentLayer,
    StepInputs,
};
use crate::{
    cache::{CacheCapacity, CacheCopy, CachePlan},
    spec::{Activation, ExpertsSpec, NormSpec},
    weights::MappedTensor,
};
use experts::ExpertBuffers;

/// How the processor is used.
#[derive(Clone, Copy, Debug)]
pub struct CpuOptions {
    /// Threads, the caller's own among them; `None`: one for each core.
    pub threads: Option<usize>,
    /// Instruction set.
    pub isa: Isa,
    /// Whether activations are rounded.
    pub precision: Precision,
    /// How keys and values are stored.
    pub kv_format: KvFormat,
}

impl Default for CpuOptions {
    /// All cores, the best instruction set, rounded activations, keys and values in half precision.
    fn default() -> Self {
        Self {
            threads: None,
            isa: Isa::best(),
            precision: Precision::default(),
            kv_format: KvFormat::F16,
        }
    }
}

/// What products work on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Activations of eight bits, with a scale for each 32, where weights are quantized, and of
    /// bfloat16 where weights are and the processor multiplies it.
    #[default]
    Int8,
    /// Activations in float32: slow, for verification.
    Exact,
}

/// The backend.
#[derive(Debug)]
pub struct Cpu {
    team: linear::Team,
    precision: Precision,
    kv_format: ponder_kernels_cpu::attention::KvFormat,
    /// Where weights go.
    arena: RefCell<Arena>,
    experts: RefCell<ExpertBuffers>,
    /// Rows that were looked up in tables since their pages were let go.
    n_looked_up: Cell<usize>,
}

/// After so many rows the pages that they lie on are let go: there are some kB to each, and in the
/// course of time all of a table would be in memory.
const LOOKED_UP: usize = 256;

impl Cpu {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives no threads, or keys and values cannot be stored as wanted.
    pub fn new(options: &CpuOptions) -> Result<Self, BackendError> {
        let threads = options.threads.unwrap_or_else(n_cores);
        let team = linear::Team::new(options.isa, threads).map_err(failed("start threads"))?;
        Ok(Self {
            team,
            precision: options.precision,
            kv_format: attention::kv_format(options.kv_format)?,
            arena: RefCell::default(),
            experts: RefCell::default(),
            n_looked_up: Cell::default(),
        })
    }

    /// The rows as kernels of these matrices want them.
    fn input<'a>(&self, x: &'a mut Buffer, weights: &[&Weight]) -> linear::Input<'a> {
        if self.precision == Precision::Int8 {
            for weight in weights {
                x.round(&self.team, weight.matrix().rounding());
            }
        }
        x.input()
    }
}

impl Backend for Cpu {
    type Buffer = Buffer;
    type Weight = Weight;
    type State = State;

    fn vector(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        Ok(Weight::Vector(tensor.to_vec()))
    }

    fn matrix(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        let arena = &mut self.arena.borrow_mut();
        weight::pack(&self.team, arena, tensor).map_err(failed("pack weights"))
    }

    fn table(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        tensor.will_be_looked_up();
        Ok(Weight::Table(tensor.clone()))
    }

    fn buffer(&self, max_rows: usize, width: usize) -> Result<Buffer, BackendError> {
        Ok(Buffer::new(max_rows, width))
    }

    fn state(
        &self,
        plan: &CachePlan,
        capacity: CacheCapacity,
        layers: Range<usize>,
    ) -> Result<State, BackendError> {
        State::new(plan, capacity, self.kv_format, layers).map_err(failed("reserve the cache"))
    }

    fn copy(&self, copies: &[CacheCopy], state: &mut State) -> Result<(), BackendError> {
        copies.iter().for_each(|copy| state.copy(*copy));
        Ok(())
    }

    fn begin(&self, _: &StepInputs<'_>, state: &mut State) -> Result<Begun, BackendError> {
        state.begin_step();
        Ok(Begun::Operations)
    }

    fn embed(
        &self,
        table: &Weight,
        tokens: &[u32],
        scale: f32,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        let table = table.table();
        let width = table.row_len();
        let rows = out.reset(tokens.len(), width);
        self.team.each_row(rows, width, &|row, out| {
            let token = tokens[row] as usize;
            table.read_rows(token..token + 1, out);
            if scale != 1.0 {
                out.iter_mut().for_each(|value| *value *= scale);
            }
        });
        self.n_looked_up.update(|n| n + tokens.len());
        if self.n_looked_up.get() >= LOOKED_UP {
            self.n_looked_up.set(0);
            table.release(0..table.bytes().len());
        }
        Ok(())
    }

    fn norm(
        &self,
        x: &Buffer,
        weight: &Weight,
        spec: NormSpec,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        let (weight, isa) = (weight.vector(), self.team.isa());
        let width = x.width();
        let rows = out.reset(x.n_rows(), width);
        self.team.each_row(rows, width, &|row, out| {
            elementwise::rms_norm(isa, x.row(row), weight, spec.eps, spec.offset, out);
        });
        Ok(())
    }

    fn linear<const N: usize>(
        &self,
        x: &mut Buffer,
        projections: [(&Linear<Weight>, &mut Buffer); N],
    ) -> Result<(), BackendError> {
        let n = x.n_rows();
        let weights = projections.each_ref().map(|(linear, _)| &linear.weight);
        let x = self.input(x, &weights);
        let parts = projections.map(|(linear, out)| {
            let product = product(linear);
            let out = out.reset(n, product.matrix.n_rows());
            (product, linear::Output::Replace(out))
        });
        self.team.multiply(n, x, parts);
        Ok(())
    }

    fn linear_add(
        &self,
        x: &mut Buffer,
        projection: &Linear<Weight>,
        residual: &mut Buffer,
    ) -> Result<(), BackendError> {
        let n = x.n_rows();
        let x = self.input(x, &[&projection.weight]);
        let residual = linear::Output::Add(residual.change());
        self.team.multiply(n, x, [(product(projection), residual)]);
        Ok(())
    }

    fn linear_gated(
        &self,
        x: &mut Buffer,
        gate: &Linear<Weight>,
        up: &Linear<Weight>,
        activation: Activation,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        let n = x.n_rows();
        let x = self.input(x, &[&gate.weight, &up.weight]);
        let products = [product(gate), product(up)];
        let out = out.reset(n, gate.weight.matrix().n_rows());
        self.team
            .multiply_gated(n, x, products, kernel(activation), out);
        Ok(())
    }

    fn attention(
        &self,
        layer: &AttentionLayer<'_, Weight>,
        qkv: [&mut Buffer; 3],
        batch: &Batch<'_>,
        state: &mut State,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        attention::attention(&self.team, layer, qkv, batch, state, out);
        Ok(())
    }

    fn recurrent(
        &self,
        layer: &RecurrentLayer<'_, Weight>,
        x: &Buffer,
        batch: &Batch<'_>,
        state: &mut State,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        recurrent::recurrent(layer, x, batch, state, out);
        Ok(())
    }

    fn experts(
        &self,
        spec: &ExpertsSpec,
        experts: &Experts<Weight>,
        x: &mut Buffer,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        experts::experts(self, spec, experts, x, out);
        Ok(())
    }

    fn add(&self, residual: &mut Buffer, x: &Buffer) -> Result<(), BackendError> {
        let (isa, width) = (self.team.isa(), x.width());
        self.team.each_row(residual.change(), width, &|row, sum| {
            elementwise::add(isa, sum, x.row(row));
        });
        Ok(())
    }

    fn select(&self, x: &Buffer, rows: &[usize], out: &mut Buffer) -> Result<(), BackendError> {
        let out = out.reset(rows.len(), x.width());
        for (out, &row) in out.chunks_exact_mut(x.width()).zip(rows) {
            out.copy_from_slice(x.row(row));
        }
        Ok(())
    }

    fn write(&self, values: &[f32], width: usize, out: &mut Buffer) -> Result<(), BackendError> {
        out.reset(values.len() / width, width)
            .copy_from_slice(values);
        Ok(())
    }

    fn read(&self, x: &Buffer, out: &mut Vec<f32>) -> Result<(), BackendError> {
        (0..x.n_rows()).for_each(|row| out.extend_from_slice(x.row(row)));
        Ok(())
    }

    fn logits(
        &self,
        x: &mut Buffer,
        head: &Weight,
        softcap: Option<f32>,
        out: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        let n = x.n_rows();
        let x = self.input(x, &[head]);
        let (first, vocab_size) = (out.len(), head.matrix().n_rows());
        out.resize(first + n * vocab_size, 0.0);
        let logits = &mut out[first..];
        let head = linear::Product {
            matrix: head.matrix(),
            bias: None,
        };
        self.team
            .multiply(n, x, [(head, linear::Output::Replace(logits))]);
        if let Some(cap) = softcap {
            let isa = self.team.isa();
            self.team
                .each_row(&mut out[first..], vocab_size, &|_, logits| {
                    elementwise::softcap(isa, logits, cap);
                });
        }
        Ok(())
    }
}

fn product(linear: &Linear<Weight>) -> linear::Product<'_> {
    linear::Product {
        matrix: linear.weight.matrix(),
        bias: linear.bias.as_ref().map(Weight::vector),
    }
}

fn kernel(activation: Activation) -> elementwise::Activation {
    match activation {
        Activation::Silu => elementwise::Activation::Silu,
        Activation::Gelu => elementwise::Activation::Gelu,
        Activation::GeluTanh => elementwise::Activation::GeluTanh,
    }
}

/// The threads that a model runs on where nobody says how many: one per core that this process may
/// use.
pub fn n_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    num_cpus::get_physical().clamp(1, allowed)
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> BackendError {
    move |error| BackendError::Device {
        device: "cpu",
        operation,
        message: error.to_string(),
    }
}

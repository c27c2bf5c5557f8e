//! The plain twin: candle operations on the CPU, float32, one obvious step after the other.
//!
//! It is the oracle for every other backend, and slow on purpose where speed would cost clarity.
//! Matrices stay in the mapped file in their own format and are widened to float32 a few rows at a
//! time, so that a quantized model takes the memory of its file and no more.

mod attention;
mod experts;
mod recurrent;
mod state;
mod weight;

use std::ops::Range;

use candle_core::{Device, Result as CandleResult, Tensor};
use candle_nn::ops;

pub use state::State;
pub use weight::Weight;

use super::{
    AttentionLayer, Backend, BackendError, Batch, Begun, Experts, Linear, RecurrentLayer,
    StepInputs,
};
use crate::{
    cache::{CacheCapacity, CacheCopy, CachePlan},
    spec::{Activation, ExpertsSpec, NormSpec},
    weights::MappedTensor,
};

/// The backend.
#[derive(Debug, Default)]
pub struct Reference {
    threads: Option<rayon::ThreadPool>,
}

impl Reference {
    /// A backend on its own threads; `None`: on the threads that the whole process shares.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(threads: Option<usize>) -> Result<Self, BackendError> {
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build();
        let threads = threads.map(pool).transpose();
        let message = |error: rayon::ThreadPoolBuildError| error.to_string();
        let device = |message| BackendError::Device {
            device: "reference",
            operation: "start threads",
            message,
        };
        Ok(Self {
            threads: threads.map_err(message).map_err(device)?,
        })
    }

    fn project(&self, x: &Buffer, projection: &Linear<Weight>) -> Result<Tensor, BackendError> {
        let product = self.run(|| projection.weight.matmul(&x.0))?;
        wrap("linear", || match &projection.bias {
            Some(bias) => product.broadcast_add(bias.vector()?),
            None => Ok(product),
        })
    }

    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }
}

/// A tensor that the next operation replaces.
#[derive(Debug)]
pub struct Buffer(Tensor);

impl Backend for Reference {
    type Buffer = Buffer;
    type Weight = Weight;
    type State = State;

    fn vector(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        Weight::load(tensor)
    }

    fn matrix(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        Weight::load(tensor)
    }

    fn table(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        Weight::load(tensor)
    }

    fn buffer(&self, _max_rows: usize, width: usize) -> Result<Buffer, BackendError> {
        wrap("buffer", || Ok(Buffer(zeros(&[0, width])?)))
    }

    fn state(
        &self,
        plan: &CachePlan,
        _: CacheCapacity,
        _: Range<usize>,
    ) -> Result<State, BackendError> {
        Ok(State::new(plan))
    }

    fn copy(&self, copies: &[CacheCopy], state: &mut State) -> Result<(), BackendError> {
        copies.iter().for_each(|copy| state.copy(*copy));
        Ok(())
    }

    fn begin(&self, _: &StepInputs<'_>, _: &mut State) -> Result<Begun, BackendError> {
        Ok(Begun::Operations)
    }

    fn embed(
        &self,
        table: &Weight,
        tokens: &[u32],
        scale: f32,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        let rows = table.rows(tokens)?;
        wrap("embed", || set(out, rows.affine(f64::from(scale), 0.0)?))
    }

    fn norm(
        &self,
        x: &Buffer,
        weight: &Weight,
        spec: NormSpec,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        wrap("norm", || set(out, rms_norm(&x.0, weight, spec)?))
    }

    fn linear<const N: usize>(
        &self,
        x: &mut Buffer,
        projections: [(&Linear<Weight>, &mut Buffer); N],
    ) -> Result<(), BackendError> {
        for (projection, out) in projections {
            out.0 = self.project(x, projection)?;
        }
        Ok(())
    }

    fn linear_add(
        &self,
        x: &mut Buffer,
        projection: &Linear<Weight>,
        residual: &mut Buffer,
    ) -> Result<(), BackendError> {
        let product = self.project(x, projection)?;
        wrap("add", || set(residual, residual.0.add(&product)?))
    }

    fn linear_gated(
        &self,
        x: &mut Buffer,
        gate: &Linear<Weight>,
        up: &Linear<Weight>,
        activation: Activation,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        let (gate, up) = (self.project(x, gate)?, self.project(x, up)?);
        wrap("gate", || set(out, activate(activation, &gate)?.mul(&up)?))
    }

    fn attention(
        &self,
        layer: &AttentionLayer<'_, Weight>,
        [q, k, v]: [&mut Buffer; 3],
        batch: &Batch<'_>,
        state: &mut State,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        self.run(|| {
            wrap("attention", || {
                set(
                    out,
                    attention::attention(layer, [&q.0, &k.0, &v.0], batch, state)?,
                )
            })
        })
    }

    fn recurrent(
        &self,
        layer: &RecurrentLayer<'_, Weight>,
        x: &Buffer,
        batch: &Batch<'_>,
        state: &mut State,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        wrap("recurrent", || {
            set(out, recurrent::recurrent(layer, &x.0, batch, state)?)
        })
    }

    fn experts(
        &self,
        spec: &ExpertsSpec,
        experts: &Experts<Weight>,
        x: &mut Buffer,
        out: &mut Buffer,
    ) -> Result<(), BackendError> {
        let sum = self.run(|| experts::experts(spec, experts, &x.0))?;
        wrap("experts", || set(out, sum))
    }

    fn add(&self, residual: &mut Buffer, x: &Buffer) -> Result<(), BackendError> {
        wrap("add", || set(residual, residual.0.add(&x.0)?))
    }

    fn select(&self, x: &Buffer, rows: &[usize], out: &mut Buffer) -> Result<(), BackendError> {
        wrap("select", || set(out, select_rows(&x.0, rows)?))
    }

    fn write(&self, values: &[f32], width: usize, out: &mut Buffer) -> Result<(), BackendError> {
        let shape = (values.len() / width, width);
        wrap("write", || {
            set(out, Tensor::from_slice(values, shape, &Device::Cpu)?)
        })
    }

    fn read(&self, x: &Buffer, out: &mut Vec<f32>) -> Result<(), BackendError> {
        wrap("read", || {
            out.extend(x.0.flatten_all()?.to_vec1::<f32>()?);
            Ok(())
        })
    }

    fn logits(
        &self,
        x: &mut Buffer,
        head: &Weight,
        softcap: Option<f32>,
        out: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        let logits = self.run(|| head.matmul(&x.0))?;
        wrap("logits", || {
            let logits = match softcap.map(f64::from) {
                Some(cap) => (logits.affine(1.0 / cap, 0.0)?.tanh()? * cap)?,
                None => logits,
            };
            out.extend(logits.flatten_all()?.to_vec1::<f32>()?);
            Ok(())
        })
    }
}

fn rms_norm(x: &Tensor, weight: &Weight, spec: NormSpec) -> CandleResult<Tensor> {
    let weight = weight.vector()?.affine(1.0, f64::from(spec.offset))?;
    ops::rms_norm(&x.contiguous()?, &weight, spec.eps)
}

fn activate(activation: Activation, x: &Tensor) -> CandleResult<Tensor> {
    match activation {
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
    }
}

fn select_rows(x: &Tensor, rows: &[usize]) -> CandleResult<Tensor> {
    let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
    x.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)
}

fn zeros(shape: &[usize]) -> CandleResult<Tensor> {
    Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu)
}

fn set(buffer: &mut Buffer, tensor: Tensor) -> CandleResult<()> {
    buffer.0 = tensor;
    Ok(())
}

fn wrap<T>(
    operation: &'static str,
    work: impl FnOnce() -> CandleResult<T>,
) -> Result<T, BackendError> {
    work().map_err(|error| BackendError::Device {
        device: "reference",
        operation,
        message: error.to_string(),
    })
}

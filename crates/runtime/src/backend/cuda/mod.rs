//! NVIDIA's devices: our own kernels, on one stream, in memory that is planned at load.
//!
//! This is glue; the work is in `ponder_kernels_cuda`. Weights stay quantized in the device's memory.
//! What a step is made of goes over once, when it [begins](Backend::begin), and what is read comes back
//! once, when it ends; between the two nothing waits for the device. Where tokens are all that is wanted
//! of logits, they are [drawn](kept) there.

mod attention;
mod experts;
mod graphs;
mod kept;
mod meter;
mod recurrent;
mod state;
mod step;
mod swapped;
mod weight;

pub use ponder_kernels_cuda::{CudaError, Precision};
pub use state::State;
pub use weight::{Weight, device_bytes};

use std::cell::{RefCell, RefMut};
use std::ops::Range;
use std::sync::Arc;

use ponder_kernels_cuda::{
    Device,
    draw::Drawing,
    elementwise,
    linear::{self, Output, Product, Rows},
};

use super::{
    AttentionLayer, Backend, BackendError, Batch, Begun, DEVICE_PREFILL_ROWS, DeviceMeter, Experts,
    KeptLogits, KvFormat, Linear, RecurrentLayer, StepInputs, StepOutput,
};
use crate::{
    cache::{CacheCapacity, CacheCopy, CachePlan},
    spec::{Activation, ExpertsSpec, NormSpec},
    weights::MappedTensor,
};
use experts::ExpertBuffers;
use meter::StepClock;
use step::StepState;
use weight::Table;

/// How a device is used.
#[derive(Clone, Copy, Debug)]
pub struct CudaOptions {
    /// What products and attention work on.
    pub precision: Precision,
    /// How keys and values are stored.
    pub kv_format: KvFormat,
    /// Bytes of the machine's memory for keys and values that the device has no room for.
    pub swap_bytes: u64,
}

impl Default for CudaOptions {
    /// As fast as the device can, keys and values in half precision, and on the device alone.
    fn default() -> Self {
        Self {
            precision: Precision::Fast,
            kv_format: KvFormat::F16,
            swap_bytes: 0,
        }
    }
}

/// Bytes of a device's memory that nobody uses, by its index.
///
/// # Errors
/// Where there is no driver, or no such device.
pub fn free_memory(index: usize) -> Result<u64, BackendError> {
    Ok(Device::free_memory_of(index)? as u64)
}

/// The backend.
#[derive(Debug)]
pub struct Cuda {
    device: Device,
    index: usize,
    precision: Precision,
    kv_format: ponder_kernels_cuda::attention::KvFormat,
    swap_bytes: u64,
    linear: linear::Linear,
    table: RefCell<Table>,
    /// Numbers on their way, as bytes.
    transfer: RefCell<Vec<u8>>,
    /// Logits of a step.
    logits: RefCell<Rows>,
    /// What draws from them.
    drawing: RefCell<Drawing>,
    experts: RefCell<Vec<ExpertBuffers>>,
    /// The step at hand.
    step: RefCell<Option<StepState>>,
    clock: RefCell<StepClock>,
}

impl Cuda {
    /// Opens the device with this index.
    ///
    /// # Errors
    /// Where there is no driver, no such device, or none that the kernels run on.
    pub fn open(index: usize, options: &CudaOptions) -> Result<Self, BackendError> {
        Self::on(Device::open(index)?, index, options)
    }

    /// Where tests run models, as [`Device::for_tests`] says.
    ///
    /// # Errors
    /// As the device would.
    #[cfg(feature = "cuda-emulated")]
    pub fn for_tests(options: &CudaOptions) -> Result<Self, BackendError> {
        Self::on(Device::for_tests(), 0, options)
    }

    fn on(device: Device, index: usize, options: &CudaOptions) -> Result<Self, BackendError> {
        let kv_format = attention::kv_format(options.kv_format)?;
        Ok(Self {
            linear: linear::Linear::new(&device, options.precision)?,
            logits: RefCell::new(Rows::new(&device, 1, 1)?),
            drawing: RefCell::new(Drawing::new(&device)?),
            clock: RefCell::new(StepClock::new(&device)),
            device,
            index,
            precision: options.precision,
            kv_format,
            swap_bytes: options.swap_bytes,
            table: RefCell::default(),
            transfer: RefCell::default(),
            experts: RefCell::default(),
            step: RefCell::default(),
        })
    }

    /// The device itself.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Which of the machine's devices it is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// As the driver calls the device.
    pub fn name(&self) -> &str {
        &self.device.properties().name
    }

    /// Bytes of the device's memory that nobody uses.
    ///
    /// # Errors
    /// Of the driver.
    pub fn free_memory(&self) -> Result<u64, BackendError> {
        Ok(self.device.free_memory()? as u64)
    }

    /// What tells how the device is used, whoever has the backend then.
    pub fn meter(&self) -> Arc<dyn DeviceMeter> {
        Arc::new(self.clock.borrow().meter(self.index))
    }

    /// The step at hand.
    fn step(&self) -> RefMut<'_, StepState> {
        fn made(step: &mut Option<StepState>) -> &mut StepState {
            step.as_mut().expect("the state was made at load")
        }
        RefMut::map(self.step.borrow_mut(), made)
    }
}

impl Backend for Cuda {
    type Buffer = Rows;
    type Weight = Weight;
    type State = State;

    fn vector(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        Ok(Weight::Vector(weight::upload_floats(
            &self.device,
            &tensor.to_vec(),
        )?))
    }

    fn matrix(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        let table = self.table.borrow();
        Ok(table.or_upload(&self.device, self.precision, tensor)?)
    }

    /// One weight that has the rows of all experts.
    fn matrices(&self, tensors: &[MappedTensor]) -> Result<Vec<Weight>, BackendError> {
        let stack = weight::bring(&self.device, self.precision, tensors)?;
        Ok(vec![Weight::Matrix(Arc::new(stack))])
    }

    fn table(&self, tensor: &MappedTensor) -> Result<Weight, BackendError> {
        let mut table = self.table.borrow_mut();
        Ok(table.upload(&self.device, self.precision, tensor)?)
    }

    fn prefill_rows(&self) -> usize {
        DEVICE_PREFILL_ROWS
    }

    fn buffer(&self, max_rows: usize, width: usize) -> Result<Rows, BackendError> {
        Ok(Rows::new(&self.device, max_rows, width)?)
    }

    fn n_kept_blocks(&self, plan: &CachePlan) -> usize {
        swapped::n_blocks(plan, self.kv_format, self.swap_bytes)
    }

    fn state(
        &self,
        plan: &CachePlan,
        capacity: CacheCapacity,
        layers: Range<usize>,
    ) -> Result<State, BackendError> {
        let mut step = StepState::new(&self.device, plan, capacity)?;
        if layers != (0..plan.layers.len()) {
            // What comes from elsewhere, or goes there, cannot be recorded.
            step.graphs.turn_off();
        }
        *self.step.borrow_mut() = Some(step);
        let state = State::new(&self.device, plan, capacity, self.kv_format, layers);
        Ok(state?)
    }

    fn copy(&self, copies: &[CacheCopy], state: &mut State) -> Result<(), BackendError> {
        self.step().graphs.forget_step(&self.device);
        let mut copies = copies.iter();
        Ok(copies.try_for_each(|copy| state.copy(*copy))?)
    }

    fn begin(&self, step: &StepInputs<'_>, _: &mut State) -> Result<Begun, BackendError> {
        let mut own = self.step();
        own.graphs.forget_step(&self.device);
        self.drawing.borrow_mut().clear();
        own.begin(step, &mut self.clock.borrow_mut())?;
        Ok(match own.graphs.is_replay() {
            true => Begun::Recorded,
            false => Begun::Operations,
        })
    }

    fn embed(
        &self,
        table: &Weight,
        _: &[u32],
        scale: f32,
        out: &mut Rows,
    ) -> Result<(), BackendError> {
        let step = self.step();
        let (matrix, n) = (table.matrix(), step.bounds.n_rows);
        Ok(self
            .linear
            .embed(matrix, step.tables.tokens(), n, scale, out)?)
    }

    fn norm(
        &self,
        x: &Rows,
        weight: &Weight,
        spec: NormSpec,
        out: &mut Rows,
    ) -> Result<(), BackendError> {
        out.normalize(x, weight.vector(), (spec.eps, spec.offset))?;
        if self.step().output == StepOutput::Hidden {
            out.compute()?;
        }
        Ok(())
    }

    fn linear<const N: usize>(
        &self,
        x: &mut Rows,
        projections: [(&Linear<Weight>, &mut Rows); N],
    ) -> Result<(), BackendError> {
        let mut products = projections.map(|(linear, out)| Product {
            projection: projection(linear),
            output: Output::Replace(out),
        });
        Ok(self.linear.multiply(x, &mut products)?)
    }

    fn linear_add(
        &self,
        x: &mut Rows,
        linear: &Linear<Weight>,
        residual: &mut Rows,
    ) -> Result<(), BackendError> {
        let product = Product {
            projection: projection(linear),
            output: Output::Add(residual),
        };
        Ok(self.linear.multiply(x, &mut [product])?)
    }

    fn linear_gated(
        &self,
        x: &mut Rows,
        gate: &Linear<Weight>,
        up: &Linear<Weight>,
        activation: Activation,
        out: &mut Rows,
    ) -> Result<(), BackendError> {
        let (gate, up) = (projection(gate), projection(up));
        let activation = kernel(activation);
        Ok(self.linear.multiply_gated(x, gate, up, activation, out)?)
    }

    fn attention(
        &self,
        layer: &AttentionLayer<'_, Weight>,
        qkv: [&mut Rows; 3],
        _: &Batch<'_>,
        state: &mut State,
        out: &mut Rows,
    ) -> Result<(), BackendError> {
        Ok(attention::attention(self, layer, qkv, state, out)?)
    }

    fn recurrent(
        &self,
        layer: &RecurrentLayer<'_, Weight>,
        x: &Rows,
        _: &Batch<'_>,
        state: &mut State,
        out: &mut Rows,
    ) -> Result<(), BackendError> {
        Ok(recurrent::recurrent(self, layer, x, state, out)?)
    }

    fn experts(
        &self,
        spec: &ExpertsSpec,
        experts: &Experts<Weight>,
        x: &mut Rows,
        out: &mut Rows,
    ) -> Result<(), BackendError> {
        let out = Output::Replace(out);
        Ok(experts::experts(self, spec, experts, x, out)?)
    }

    fn experts_add(
        &self,
        spec: &ExpertsSpec,
        experts: &Experts<Weight>,
        x: &mut Rows,
        _: &mut Rows,
        residual: &mut Rows,
    ) -> Result<(), BackendError> {
        let out = Output::Add(residual);
        Ok(experts::experts(self, spec, experts, x, out)?)
    }

    fn add(&self, residual: &mut Rows, x: &Rows) -> Result<(), BackendError> {
        Ok(residual.add(x)?)
    }

    fn select(&self, x: &Rows, _: &[usize], out: &mut Rows) -> Result<(), BackendError> {
        let step = self.step();
        let shape = (step.n_chosen, x.width());
        let out = out.reset(shape.0, shape.1)?;
        let tables = (&step.tables, &step.bounds);
        Ok(elementwise::select(
            &self.device,
            x.values(),
            tables,
            shape,
            out,
        )?)
    }

    fn write(&self, values: &[f32], width: usize, out: &mut Rows) -> Result<(), BackendError> {
        let bytes = &mut *self.transfer.borrow_mut();
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let out = out.reset(values.len() / width, width)?;
        Ok(self.device.upload(bytes, out, 0)?)
    }

    fn read(&self, x: &Rows, out: &mut Vec<f32>) -> Result<(), BackendError> {
        self.bring_back(x, 0..x.n_rows(), out)
    }

    fn logits(
        &self,
        x: &mut Rows,
        head: &Weight,
        softcap: Option<f32>,
        out: &mut Vec<f32>,
    ) -> Result<(), BackendError> {
        let mut logits = self.logits.borrow_mut();
        if !self.step().graphs.is_replay() {
            let product = Product {
                projection: linear::Projection {
                    matrix: head.matrix(),
                    bias: None,
                },
                output: Output::Replace(&mut logits),
            };
            self.linear.multiply(x, &mut [product])?;
            if let Some(cap) = softcap {
                let n = logits.n_rows() * logits.width();
                elementwise::softcap(&self.device, logits.change(), n, cap)?;
            }
        }
        let mut step = self.step();
        step.graphs.finish(&self.device)?;
        match step.output {
            StepOutput::Kept => Ok(self.clock.borrow_mut().end()?),
            _ => self.bring_back(&logits, 0..step.n_wanted, out),
        }
    }

    fn kept(&self) -> Option<&dyn KeptLogits> {
        Some(self)
    }

    fn leave(&self) -> Result<(), BackendError> {
        Ok(self.clock.borrow_mut().end()?)
    }
}

fn projection(linear: &Linear<Weight>) -> linear::Projection<'_> {
    linear::Projection {
        matrix: linear.weight.matrix(),
        bias: linear.bias.as_ref().map(Weight::vector),
    }
}

fn kernel(activation: Activation) -> linear::Activation {
    match activation {
        Activation::Silu => linear::Activation::Silu,
        Activation::Gelu => linear::Activation::Gelu,
        Activation::GeluTanh => linear::Activation::GeluTanh,
    }
}

//! What a device must be able to do: the operations of a forward pass, fused as far as every
//! device can profit, on buffers that are planned at load.
//!
//! The decoder is written once against [`Backend`]. [`reference`](mod@reference) composes candle operations in
//! float32; every other backend is compared with it.

pub mod cpu;
#[cfg(feature = "cuda-backend")]
pub mod cuda;
mod kept;
mod kv_format;
mod meter;
pub mod reference;

pub use kept::{Draw, DrawnToken, KeptLogits, MAX_LIKELIEST};
pub use kv_format::KvFormat;
pub use meter::{DeviceFacts, DeviceMeter};

use std::ops::Range;

use thiserror::Error;

use crate::{
    cache::{Cache, CacheCapacity, CacheCopy, CachePlan, LayerSlot, SeqId},
    spec::{Activation, AttentionSpec, ExpertsSpec, NormSpec, RopeTable, ShortConvSpec},
    weights::{MappedTensor, WeightsError},
};

/// Why a device could not do its work.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The device or its library reported a failure.
    #[error("{device}: {operation} failed: {message}")]
    Device {
        /// Backend.
        device: &'static str,
        /// Operation.
        operation: &'static str,
        /// The library's words.
        message: String,
    },
    /// A weight could not be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The device's memory is exhausted. With less to do at a time it may go on.
    #[error("{0}")]
    OutOfMemory(String),
    /// The device failed for good: whatever is tried fails likewise.
    #[error("{0}")]
    Lost(String),
    /// A device of NVIDIA's, or its driver, failed.
    #[cfg(feature = "cuda-backend")]
    #[error(transparent)]
    Cuda(cuda::CudaError),
}

#[cfg(feature = "cuda-backend")]
impl From<cuda::CudaError> for BackendError {
    fn from(error: cuda::CudaError) -> Self {
        match error {
            cuda::CudaError::OutOfMemory { .. } => Self::OutOfMemory(error.to_string()),
            cuda::CudaError::Lost { .. } => Self::Lost(error.to_string()),
            error => Self::Cuda(error),
        }
    }
}

/// Rows of a step's prompts on a device beside the processor. A matrix of 4096 rows is then 128 tiles of
/// products, as many as large devices have multiprocessors, and every weight that is read is used a thousand
/// times.
pub const DEVICE_PREFILL_ROWS: usize = 1024;

/// One device. Buffers are `[n_tokens, width]` of float32, row-major; `out` is always overwritten.
///
/// An input is `&mut` where a backend may keep something beside it that several readers share, such
/// as the same numbers rounded.
pub trait Backend {
    /// Activations.
    type Buffer;
    /// A matrix, a table or a vector in the backend's own layout.
    type Weight;
    /// Keys, values and recurrent states of all sequences.
    type State;

    // At load.

    /// Takes over a norm, a bias, or a small matrix that is read as it is.
    fn vector(&self, tensor: &MappedTensor) -> Result<Self::Weight, BackendError>;
    /// Takes over a matrix to multiply with: mapped, repacked or uploaded, as suits the device.
    fn matrix(&self, tensor: &MappedTensor) -> Result<Self::Weight, BackendError>;
    /// Takes over the matrices of a layer's experts, all of one shape: as one weight for each, or in
    /// whatever way [`experts`](Self::experts) wants them.
    fn matrices(&self, tensors: &[MappedTensor]) -> Result<Vec<Self::Weight>, BackendError> {
        tensors.iter().map(|tensor| self.matrix(tensor)).collect()
    }
    /// Takes over a matrix of which rows are looked up.
    fn table(&self, tensor: &MappedTensor) -> Result<Self::Weight, BackendError>;
    /// Tokens of prompts that belong in a step at a time: enough to use matrix products well, few enough
    /// that it is soon over.
    fn prefill_rows(&self) -> usize {
        256
    }
    /// A buffer for up to `max_rows` tokens.
    fn buffer(&self, max_rows: usize, width: usize) -> Result<Self::Buffer, BackendError>;
    /// Blocks of each group, and as many recurrent states as the cache has, that the backend keeps in
    /// other memory than its own where that has no room; none where its memory is the machine's.
    fn n_kept_blocks(&self, _plan: &CachePlan) -> usize {
        0
    }
    /// Storage for what `plan` says of these layers, up to `capacity`; of others nothing is asked.
    fn state(
        &self,
        plan: &CachePlan,
        capacity: CacheCapacity,
        layers: Range<usize>,
    ) -> Result<Self::State, BackendError>;

    // Each step.

    /// Copies blocks and slots, in order. Where this fails, what they hold is not known.
    fn copy(&self, copies: &[CacheCopy], state: &mut Self::State) -> Result<(), BackendError>;
    /// Begins a step: takes in what it is made of.
    fn begin(&self, step: &StepInputs<'_>, state: &mut Self::State) -> Result<Begun, BackendError>;
    /// `out[i] = scale * table[tokens[i]]`, for the step's tokens.
    fn embed(
        &self,
        table: &Self::Weight,
        tokens: &[u32],
        scale: f32,
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// `out = x / rms(x) * (offset + weight)`.
    fn norm(
        &self,
        x: &Self::Buffer,
        weight: &Self::Weight,
        spec: NormSpec,
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// `out = x @ weightᵀ + bias`, for several projections of the same input.
    fn linear<const N: usize>(
        &self,
        x: &mut Self::Buffer,
        projections: [(&Linear<Self::Weight>, &mut Self::Buffer); N],
    ) -> Result<(), BackendError>;
    /// `residual += x @ weightᵀ + bias`.
    fn linear_add(
        &self,
        x: &mut Self::Buffer,
        projection: &Linear<Self::Weight>,
        residual: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// `out = activation(x @ gateᵀ + bias) * (x @ upᵀ + bias)`.
    fn linear_gated(
        &self,
        x: &mut Self::Buffer,
        gate: &Linear<Self::Weight>,
        up: &Linear<Self::Weight>,
        activation: Activation,
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// Norm and position encoding of queries and keys, append to the cache, attention.
    fn attention(
        &self,
        layer: &AttentionLayer<'_, Self::Weight>,
        qkv: [&mut Self::Buffer; 3],
        batch: &Batch<'_>,
        state: &mut Self::State,
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// A mixer with recurrent state; reads `x` (what the mixer's input projection gave).
    fn recurrent(
        &self,
        layer: &RecurrentLayer<'_, Self::Weight>,
        x: &Self::Buffer,
        batch: &Batch<'_>,
        state: &mut Self::State,
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// Routes each row of `x` to its experts and sums what they say.
    fn experts(
        &self,
        spec: &ExpertsSpec,
        experts: &Experts<Self::Weight>,
        x: &mut Self::Buffer,
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// `residual +=` what [`experts`](Self::experts) gives; what `out` holds then is undefined.
    fn experts_add(
        &self,
        spec: &ExpertsSpec,
        experts: &Experts<Self::Weight>,
        x: &mut Self::Buffer,
        out: &mut Self::Buffer,
        residual: &mut Self::Buffer,
    ) -> Result<(), BackendError> {
        self.experts(spec, experts, x, out)?;
        self.add(residual, out)
    }
    /// `residual += x`.
    fn add(&self, residual: &mut Self::Buffer, x: &Self::Buffer) -> Result<(), BackendError>;
    /// `out = x[rows]`, for the step's rows.
    fn select(
        &self,
        x: &Self::Buffer,
        rows: &[usize],
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// `out = values`, rows of so many.
    fn write(
        &self,
        values: &[f32],
        width: usize,
        out: &mut Self::Buffer,
    ) -> Result<(), BackendError>;
    /// Appends the values of `x` to `out`.
    fn read(&self, x: &Self::Buffer, out: &mut Vec<f32>) -> Result<(), BackendError>;
    /// Appends `x @ headᵀ`, softcapped, to `out`: `[n, vocab]`. A backend that can draw from them
    /// appends nothing where the step ends in [`StepOutput::Kept`].
    fn logits(
        &self,
        x: &mut Self::Buffer,
        head: &Self::Weight,
        softcap: Option<f32>,
        out: &mut Vec<f32>,
    ) -> Result<(), BackendError>;
    /// The logits of the last step that ended in [`StepOutput::Kept`], where the backend can draw from
    /// them.
    fn kept(&self) -> Option<&dyn KeptLogits> {
        None
    }
    /// The end of a step of which nothing is read.
    fn leave(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

/// A projection.
#[derive(Debug)]
pub struct Linear<W> {
    /// `[out, in]`
    pub weight: W,
    /// `[out]`
    pub bias: Option<W>,
}

/// The experts of a layer.
#[derive(Debug)]
pub struct Experts<W> {
    /// `[n_experts, hidden]`
    pub router: W,
    /// `[width, hidden]` of each expert, as [`Backend::matrices`] took them over.
    pub gate: Vec<W>,
    /// `[width, hidden]` of each expert.
    pub up: Vec<W>,
    /// `[hidden, width]` of each expert.
    pub down: Vec<W>,
}

/// What an attention layer is made of, besides its projections.
#[derive(Debug)]
pub struct AttentionLayer<'a, W> {
    /// Sizes and mechanisms.
    pub spec: &'a AttentionSpec,
    /// Position encoding.
    pub rope: Option<&'a RopeTable>,
    /// `[head_dim]`, or `[n_heads * head_dim]` where the norm goes over all heads.
    pub query_norm: Option<&'a W>,
    /// `[head_dim]`, or `[n_kv_heads * head_dim]`.
    pub key_norm: Option<&'a W>,
    /// Epsilon and offset of the two.
    pub norm: NormSpec,
    /// Where keys and values go.
    pub slot: LayerSlot,
}

/// A recurrent layer, between its projections.
#[derive(Debug)]
pub struct RecurrentLayer<'a, W> {
    /// Sizes and mechanism.
    pub mixer: RecurrentMixer<'a, W>,
    /// Where the state is.
    pub slot: LayerSlot,
}

/// Recurrent mechanisms.
#[derive(Debug)]
pub enum RecurrentMixer<'a, W> {
    /// `[b, c, x]` in, `c * filter(b * x)` out.
    ShortConv {
        /// Sizes.
        spec: &'a ShortConvSpec,
        /// `[width, kernel]`
        filter: &'a W,
        /// `[width]`
        bias: Option<&'a W>,
    },
}

/// Consecutive tokens of one sequence inside a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The sequence.
    pub sequence: SeqId,
    /// Row of the first token.
    pub first_row: usize,
    /// Tokens.
    pub len: usize,
    /// Position of the first token in its sequence.
    pub position: usize,
}

/// What a step ends in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutput {
    /// [`Backend::logits`]
    Logits,
    /// The same, which need not be on the host: [`Backend::kept`] draws from them or reads them.
    Kept,
    /// [`Backend::read`], of the states behind the last norm.
    Hidden,
}

/// How a step goes on when it has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Operation by operation.
    Operations,
    /// The backend recorded them in a step before: what is left is [`Backend::logits`].
    Recorded,
}

/// What a step is made of.
#[derive(Debug)]
pub struct StepInputs<'a> {
    /// The token of each row. Ids were checked against the embedding.
    pub tokens: &'a [u32],
    /// Rows that are selected in the end.
    pub rows: &'a [usize],
    /// What is read of them.
    pub output: StepOutput,
    /// Whose rows they are.
    pub batch: Batch<'a>,
}

/// The tokens of one forward pass, and the cache that already has room for them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Rows, grouped by sequence.
    pub spans: &'a [Span],
    /// Block tables and slots.
    pub cache: &'a Cache,
}

//! Where a model runs.

#[cfg(feature = "cuda")]
use ponder_runtime::backend::cuda::{Cuda, CudaOptions};
use ponder_runtime::{
    backend::{
        cpu::{Cpu, CpuOptions, KvFormat},
        reference::Reference,
    },
    decoder::{Decoder, DecoderError, Model},
    spec::ArchSpec,
    weights::Checkpoint,
};

use crate::{EngineError, LoadOptions, memory};

/// Where a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// candle operations in float32: slow, and what everything else is compared with.
    Reference,
    /// The processor, with kernels for its instruction set.
    #[default]
    Cpu,
    /// A device of NVIDIA's, by its index.
    Cuda(usize),
    /// The first device of NVIDIA's, where this build and the machine have one and the model fits its
    /// memory; the processor else, with a warning that says why.
    Auto,
}

impl Device {
    /// Whether this build has kernels for CUDA.
    pub const HAS_CUDA: bool = cfg!(feature = "cuda");
}

/// A device that is ready to take a model.
pub(crate) enum Backend {
    Reference(Reference),
    Cpu(Cpu),
    #[cfg(feature = "cuda")]
    Cuda(Cuda),
}

impl Backend {
    /// Opens the device that the options name, for a model whose weights take so many bytes.
    pub(crate) fn open(options: &LoadOptions, weight_bytes: u64) -> Result<Self, EngineError> {
        let opened = match options.device {
            Device::Reference => Self::Reference(reference(options)?),
            Device::Cpu => Self::Cpu(cpu(options)?),
            Device::Cuda(index) => Self::cuda(index, options)?,
            Device::Auto if !Device::HAS_CUDA => Self::Cpu(cpu(options)?),
            Device::Auto => match Self::cuda(0, options) {
                Ok(cuda) if cuda.available_bytes() > weight_bytes => cuda,
                Ok(cuda) => {
                    let free = cuda.available_bytes() >> 20;
                    let wanted = weight_bytes >> 20;
                    tracing::warn!(
                        "the CUDA device has {free} MB free and the weights take {wanted} MB: running on the processor"
                    );
                    Self::Cpu(cpu(options)?)
                }
                Err(reason) => {
                    tracing::warn!("{reason}: running on the processor");
                    Self::Cpu(cpu(options)?)
                }
            },
        };
        Ok(opened)
    }

    /// As `--device` calls it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Reference(_) => "reference".to_owned(),
            Self::Cpu(_) => "cpu".to_owned(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => format!("cuda:{}", cuda.index()),
        }
    }

    /// Bytes of its memory that nobody uses.
    pub(crate) fn available_bytes(&self) -> u64 {
        match self {
            Self::Reference(_) | Self::Cpu(_) => memory::available_bytes(),
            #[cfg(feature = "cuda")]
            Self::Cuda(cuda) => cuda.free_memory().unwrap_or(0),
        }
    }

    /// Loads a model with a cache for so many tokens.
    pub(crate) fn load(
        self,
        spec: ArchSpec,
        checkpoint: &Checkpoint,
        cache_tokens: usize,
        n_sequences: usize,
    ) -> Result<Box<dyn Model>, EngineError> {
        Ok(match self {
            Self::Reference(backend) => Box::new(Decoder::load(
                backend,
                spec,
                checkpoint,
                cache_tokens,
                n_sequences,
            )?),
            Self::Cpu(backend) => Box::new(Decoder::load(
                backend,
                spec,
                checkpoint,
                cache_tokens,
                n_sequences,
            )?),
            #[cfg(feature = "cuda")]
            Self::Cuda(backend) => Box::new(Decoder::load(
                backend,
                spec,
                checkpoint,
                cache_tokens,
                n_sequences,
            )?),
        })
    }

    #[cfg(feature = "cuda")]
    fn cuda(index: usize, options: &LoadOptions) -> Result<Self, EngineError> {
        let cuda = CudaOptions {
            kv_format: options.cache_type()?,
            ..CudaOptions::default()
        };
        Ok(Self::Cuda(
            Cuda::open(index, &cuda).map_err(DecoderError::from)?,
        ))
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(_: usize, _: &LoadOptions) -> Result<Self, EngineError> {
        Err(EngineError::NoCuda)
    }
}

fn reference(options: &LoadOptions) -> Result<Reference, EngineError> {
    Ok(Reference::new(options.threads).map_err(DecoderError::from)?)
}

fn cpu(options: &LoadOptions) -> Result<Cpu, EngineError> {
    let cpu = CpuOptions {
        threads: options.threads,
        kv_format: options.cache_type()?,
        ..CpuOptions::default()
    };
    Ok(Cpu::new(&cpu).map_err(DecoderError::from)?)
}

/// How keys and values are stored on a device where `wanted` was asked for.
///
/// # Errors
/// Where the device cannot store them so.
pub(crate) fn cache_type(
    device: Device,
    wanted: Option<KvFormat>,
) -> Result<KvFormat, EngineError> {
    match (device, wanted) {
        (Device::Reference, None | Some(KvFormat::F32)) => Ok(KvFormat::F32),
        (Device::Reference, Some(wanted)) => Err(EngineError::CacheType(wanted.name())),
        (Device::Cpu | Device::Cuda(_) | Device::Auto, wanted) => {
            Ok(wanted.unwrap_or(KvFormat::F16))
        }
    }
}

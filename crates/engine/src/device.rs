//! Where a model runs.

use std::sync::Arc;

#[cfg(feature = "cuda-backend")]
use ponder_runtime::backend::cuda::{self, Cuda, CudaOptions, device_bytes};
use ponder_runtime::{
    backend::{
        DeviceMeter, KvFormat,
        cpu::{Cpu, CpuOptions},
        reference::Reference,
    },
    decoder::{Decoder, DecoderError, Model},
    spec::ArchSpec,
    weights::{Checkpoint, MappedTensor},
};

#[cfg(feature = "cuda-backend")]
use crate::placement::{Parts, Placement};
use crate::{EngineError, LoadOptions, MemoryPlace, memory};

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
    /// The first device of NVIDIA's, where this build and the machine have one and it has room for a
    /// layer at least; the processor else, with a [note](crate::LoadProgress::Note) that says why.
    Auto,
}

impl Device {
    /// Whether this build has kernels for CUDA.
    pub const HAS_CUDA: bool = cfg!(feature = "cuda");

    /// The processor in place of a device of NVIDIA's, for tests.
    #[cfg(feature = "cuda-emulated")]
    pub(crate) const EMULATED: Self = Self::Cuda(usize::MAX);
}

/// A device that is ready to take a model.
pub(crate) enum Backend {
    Reference(Reference),
    Cpu(Box<Cpu>),
    #[cfg(feature = "cuda-backend")]
    Cuda {
        cuda: Box<Cuda>,
        placement: Placement,
        /// For the layers that are not on the device.
        cpu: Option<Box<Cpu>>,
    },
}

impl Backend {
    /// Opens the device that the options name, for a model.
    pub(crate) fn open(
        options: &LoadOptions,
        spec: &ArchSpec,
        checkpoint: &Checkpoint,
        note: &mut dyn FnMut(&str),
    ) -> Result<Self, EngineError> {
        let opened = match options.device {
            Device::Reference => Self::Reference(reference(options)?),
            Device::Cpu => Self::Cpu(cpu(options)?),
            Device::Cuda(index) => Self::cuda(index, options, spec, checkpoint, note)?,
            Device::Auto if !Device::HAS_CUDA => Self::Cpu(cpu(options)?),
            Device::Auto => match Self::cuda(0, options, spec, checkpoint, note) {
                Ok(opened) => opened,
                Err(reason) => {
                    note(&format!("the model runs on the CPU: {reason}"));
                    Self::Cpu(cpu(options)?)
                }
            },
        };
        Ok(opened)
    }

    /// As `--device` calls it, with the layers that it has where those are not all.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Reference(_) => "reference".to_owned(),
            Self::Cpu(_) => "cpu".to_owned(),
            #[cfg(feature = "cuda-backend")]
            Self::Cuda {
                cuda,
                placement,
                cpu,
            } => match cpu {
                None => format!("cuda:{}", cuda.index()),
                Some(_) => format!("cuda:{} ({} layers)", cuda.index(), placement.n_on_device),
            },
        }
    }

    /// What tells how a device is used, where the model runs on one.
    pub(crate) fn meter(&self) -> Option<Arc<dyn DeviceMeter>> {
        match self {
            Self::Reference(_) | Self::Cpu(_) => None,
            #[cfg(feature = "cuda-backend")]
            Self::Cuda { cuda, .. } => Some(cuda.meter()),
        }
    }

    /// Whose memory a model takes.
    pub(crate) fn places(&self) -> Vec<MemoryPlace> {
        match self {
            Self::Reference(_) | Self::Cpu(_) => vec![MemoryPlace::Machine],
            #[cfg(feature = "cuda-backend")]
            Self::Cuda { cuda, cpu, .. } => {
                let device = MemoryPlace::Cuda(cuda.index());
                let machine = cpu.as_ref().map(|_| MemoryPlace::Machine);
                machine.into_iter().chain([device]).collect()
            }
        }
    }

    /// Bytes that weights leave for keys and values.
    pub(crate) fn bytes_left(&self, checkpoint: &Checkpoint) -> u64 {
        let memory = memory::available_bytes();
        match self {
            Self::Reference(_) | Self::Cpu(_) => memory.saturating_sub(checkpoint.file_bytes()),
            #[cfg(feature = "cuda-backend")]
            Self::Cuda { placement, cpu, .. } => match cpu {
                None => placement.left,
                Some(_) => placement
                    .left
                    .min(memory.saturating_sub(checkpoint.file_bytes())),
            },
        }
    }

    /// Loads a model with a cache for so many tokens.
    pub(crate) fn load(
        self,
        spec: ArchSpec,
        checkpoint: &Checkpoint,
        tokens: usize,
        sequences: usize,
    ) -> Result<Box<dyn Model>, EngineError> {
        Ok(match self {
            Self::Reference(one) => {
                Box::new(Decoder::load(one, spec, checkpoint, tokens, sequences)?)
            }
            Self::Cpu(one) => Box::new(Decoder::load(*one, spec, checkpoint, tokens, sequences)?),
            #[cfg(feature = "cuda-backend")]
            Self::Cuda {
                cuda,
                placement,
                cpu,
            } => match cpu {
                None => Box::new(Decoder::load(*cuda, spec, checkpoint, tokens, sequences)?),
                Some(cpu) => {
                    let first = (*cpu, spec.layers.len() - placement.n_on_device);
                    let split =
                        Decoder::load_split(first, *cuda, spec, checkpoint, tokens, sequences);
                    Box::new(split?)
                }
            },
        })
    }

    #[cfg(feature = "cuda-backend")]
    fn cuda(
        index: usize,
        options: &LoadOptions,
        spec: &ArchSpec,
        checkpoint: &Checkpoint,
        note: &mut dyn FnMut(&str),
    ) -> Result<Self, EngineError> {
        let kv_format = options.cache_type()?;
        let cuda = CudaOptions {
            kv_format,
            swap_bytes: options
                .swap_bytes
                .unwrap_or_else(|| memory::available_bytes() / 8),
            ..CudaOptions::default()
        };
        let cuda = match Device::Cuda(index) {
            #[cfg(feature = "cuda-emulated")]
            Device::EMULATED => Cuda::for_tests(&cuda),
            _ => Cuda::open(index, &cuda),
        };
        let cuda = cuda.map_err(DecoderError::from)?;
        let free = cuda.free_memory().map_err(DecoderError::from)?;
        let parts = Parts::of(spec, checkpoint, kv_format.bytes_of_32(), weigh);
        let least = memory::least_tokens(options.context, spec.context_len);
        let tokens = options.cache_tokens.unwrap_or(least);
        let placement = parts.place(free, tokens, options.gpu_layers);
        let (n, all) = (placement.n_on_device, spec.layers.len());
        let fitting = parts.place(free, tokens, None).n_on_device;
        if n == 0 || n > fitting {
            let wanted = options.gpu_layers.unwrap_or(all).min(all);
            let shortage = parts.shortage(index, free, tokens, wanted);
            return Err(EngineError::NoRoomOnDevice(shortage));
        }
        if n < all && options.gpu_layers.is_none() {
            let (free, wanted) = (free >> 20, parts.weights() >> 20);
            note(&format!(
                "{n} of {all} layers run on the device, the others on the CPU: it has {free} MB free, and the weights take {wanted} MB"
            ));
        }
        let cpu = (n < all).then(|| cpu(options)).transpose()?;
        Ok(Self::Cuda {
            cuda: Box::new(cuda),
            placement,
            cpu,
        })
    }

    #[cfg(not(feature = "cuda-backend"))]
    fn cuda(
        _: usize,
        _: &LoadOptions,
        _: &ArchSpec,
        _: &Checkpoint,
        _: &mut dyn FnMut(&str),
    ) -> Result<Self, EngineError> {
        Err(EngineError::NoCuda)
    }
}

/// Bytes of a device's memory that nobody uses.
///
/// # Errors
/// Where there is no such device.
#[cfg(feature = "cuda-backend")]
pub(crate) fn free_memory(index: usize) -> Result<u64, EngineError> {
    Ok(cuda::free_memory(index).map_err(DecoderError::from)?)
}

/// The same, where this build knows no devices.
#[cfg(not(feature = "cuda-backend"))]
pub(crate) fn free_memory(_: usize) -> Result<u64, EngineError> {
    Err(EngineError::NoCuda)
}

/// Bytes that a tensor takes on a device.
pub(crate) fn weigh(tensor: &MappedTensor) -> u64 {
    #[cfg(feature = "cuda-backend")]
    return device_bytes(tensor);
    #[cfg(not(feature = "cuda-backend"))]
    return tensor.bytes().len() as u64;
}

fn reference(options: &LoadOptions) -> Result<Reference, EngineError> {
    Ok(Reference::new(options.threads).map_err(DecoderError::from)?)
}

fn cpu(options: &LoadOptions) -> Result<Box<Cpu>, EngineError> {
    let cpu = CpuOptions {
        threads: options.threads,
        kv_format: options.cache_type()?,
        ..CpuOptions::default()
    };
    Ok(Box::new(Cpu::new(&cpu).map_err(DecoderError::from)?))
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

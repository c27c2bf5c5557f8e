//! Weights on the device.
//!
//! Matrices come while a model is used already: a layer of the first chunk of a prompt waits for its
//! own weights only. A model of 8 billion weights is on the bus for 0.2 s in four bits and for 0.7 s in
//! sixteen, at 25 GB/s. Its first 512 tokens are 8 TFLOP, which take 0.02 s on a large device and 0.3 s
//! on a small one: so much earlier comes the first token, up to the time on the bus, and what is done
//! between loading and the first step costs nothing.

use std::sync::Arc;

use ponder_kernels_cpu::f32_to_bf16;
use ponder_kernels_cuda::{
    CudaError, Device, Memory, Precision,
    linear::{Encoding, GROUP, GroupScales, Matrix},
};

use crate::{
    backend::cpu::encoding,
    weights::{MappedTensor, TensorType},
};

/// A tensor of the model.
#[derive(Debug)]
pub enum Weight {
    /// Norms, biases and small matrices, as float32.
    Vector(Memory),
    /// A matrix to multiply with, or to look rows up in; one may be both.
    Matrix(Arc<Matrix>),
}

impl Weight {
    pub(super) fn vector(&self) -> &Memory {
        match self {
            Self::Vector(vector) => vector,
            Self::Matrix(_) => unreachable!("the decoder loaded this as a vector"),
        }
    }

    pub(super) fn matrix(&self) -> &Matrix {
        match self {
            Self::Matrix(matrix) => matrix,
            Self::Vector(_) => unreachable!("the decoder loaded this as a matrix"),
        }
    }
}

/// The table that was brought over, which may be the head too.
#[derive(Debug, Default)]
pub(super) struct Table(Option<(usize, Arc<Matrix>)>);

impl Table {
    /// Brings a table over, and remembers it.
    pub(super) fn upload(
        &mut self,
        device: &Device,
        precision: Precision,
        tensor: &MappedTensor,
    ) -> Result<Weight, CudaError> {
        let matrix = Arc::new(upload(device, precision, tensor)?);
        self.0 = Some((address(tensor), Arc::clone(&matrix)));
        Ok(Weight::Matrix(matrix))
    }

    /// Brings a matrix over, unless it is the table.
    pub(super) fn or_upload(
        &self,
        device: &Device,
        precision: Precision,
        tensor: &MappedTensor,
    ) -> Result<Weight, CudaError> {
        let matrix = match &self.0 {
            Some((bytes, table)) if *bytes == address(tensor) => Arc::clone(table),
            _ => Arc::new(upload(device, precision, tensor)?),
        };
        Ok(Weight::Matrix(matrix))
    }
}

/// Bytes that a tensor takes on the device, with [`Precision::Fast`].
pub fn device_bytes(tensor: &MappedTensor) -> u64 {
    let n_values = tensor.n_values() as u64;
    match encoding(tensor.ty()) {
        _ if tensor.shape().len() < 2 => 4 * n_values,
        Some(encoding) if Matrix::is_kept(encoding.into()) => tensor.bytes().len() as u64,
        None if tensor.has_group_scales(GROUP) => {
            // A byte for each value of whole groups, and a float for each group.
            let n_groups = tensor.n_rows() * tensor.row_len().div_ceil(GROUP);
            (n_groups * (GROUP + 4)) as u64
        }
        None if is_widened_to_bf16(tensor, Precision::Fast) => 2 * n_values,
        _ => 4 * n_values,
    }
}

/// Whether a matrix that cannot stay as it is becomes bfloat16, which tensor cores have: its numbers are of
/// eight bits with a factor for each block, of which rounding takes 2⁻⁹ at most.
fn is_widened_to_bf16(tensor: &MappedTensor, precision: Precision) -> bool {
    precision == Precision::Fast && tensor.ty() == TensorType::F8E4M3
}

/// Brings float32 over.
pub(super) fn upload_floats(device: &Device, values: &[f32]) -> Result<Memory, CudaError> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let memory = device.alloc(bytes.len().max(4))?;
    device.upload(&bytes, &memory, 0)?;
    Ok(memory)
}

/// Brings a matrix over, and lets go of its pages in the file piece by piece.
fn upload(
    device: &Device,
    precision: Precision,
    tensor: &MappedTensor,
) -> Result<Matrix, CudaError> {
    bring(device, precision, std::slice::from_ref(tensor))
}

/// The same of matrices that are equally wide: their rows become one matrix, one behind the other.
/// Types that kernels do not have are widened, and where the types differ, all are, to float32. Numbers of
/// eight bits stay as they are where no 128 values of a row have several factors.
pub(super) fn bring(
    device: &Device,
    precision: Precision,
    tensors: &[MappedTensor],
) -> Result<Matrix, CudaError> {
    let n_rows = tensors.iter().map(MappedTensor::n_rows).sum();
    let shape = [n_rows, tensors.first().map_or(0, MappedTensor::row_len)];
    let mut encodings = tensors.iter().map(|tensor| encoding(tensor.ty()));
    let first = encodings.next().flatten();
    let same = first.filter(|first| encodings.all(|other| other == Some(*first)));
    if let Some(encoding) = same {
        return Matrix::bring(device, encoding.into(), tensors.to_vec(), shape);
    }
    if let Some(sources) = as_fp8(tensors) {
        return Matrix::bring_fp8(device, sources, shape);
    }
    let to_bf16 = |tensor| is_widened_to_bf16(tensor, precision);
    let encoding = match tensors.iter().all(to_bf16) {
        true => Encoding::BF16,
        false => Encoding::F32,
    };
    let widen = |tensor: &MappedTensor| {
        let values = tensor.to_vec();
        let mut bytes = Vec::new();
        if encoding == Encoding::BF16 {
            bytes.resize(2 * values.len(), 0);
            f32_to_bf16(&values, &mut bytes);
        } else {
            bytes.extend(values.into_iter().flat_map(f32::to_le_bytes));
        }
        tensor.release(0..tensor.bytes().len());
        bytes
    };
    let widened = tensors.iter().map(widen).collect();
    Matrix::bring(device, encoding, widened, shape)
}

/// Matrices that stay in FP8, with their factors; `None` unless all do.
fn as_fp8(tensors: &[MappedTensor]) -> Option<Vec<(MappedTensor, GroupScales)>> {
    if tensors.is_empty() {
        return None;
    }
    let with_scales = |tensor: &MappedTensor| Some((tensor.clone(), tensor.group_scales(GROUP)?));
    tensors.iter().map(with_scales).collect()
}

/// Where a tensor's bytes lie, which is what tells it from others of the same file.
fn address(tensor: &MappedTensor) -> usize {
    tensor.bytes().as_ptr().addr()
}

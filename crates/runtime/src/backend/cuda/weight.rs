//! Weights on the device.
//!
//! Matrices come while a model is used already: a layer of the first chunk of a prompt waits for its
//! own weights only. A model of 8 billion weights is on the bus for 0.2 s in four bits and for 0.7 s in
//! sixteen, at 25 GB/s. Its first 512 tokens are 8 TFLOP, which take 0.02 s on a large device and 0.3 s
//! on a small one: so much earlier comes the first token, up to the time on the bus, and what is done
//! between loading and the first step costs nothing.

use std::ops::Range;
use std::sync::Arc;

use ponder_kernels_cuda::{
    CudaError, Device, Memory, Source,
    linear::{Encoding, Matrix},
};

use crate::{backend::cpu::encoding, weights::MappedTensor};

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
        tensor: &MappedTensor,
    ) -> Result<Weight, CudaError> {
        let matrix = Arc::new(upload(device, tensor)?);
        self.0 = Some((address(tensor), Arc::clone(&matrix)));
        Ok(Weight::Matrix(matrix))
    }

    /// Brings a matrix over, unless it is the table.
    pub(super) fn or_upload(
        &self,
        device: &Device,
        tensor: &MappedTensor,
    ) -> Result<Weight, CudaError> {
        let matrix = match &self.0 {
            Some((bytes, table)) if *bytes == address(tensor) => Arc::clone(table),
            _ => Arc::new(upload(device, tensor)?),
        };
        Ok(Weight::Matrix(matrix))
    }
}

/// Bytes that a tensor takes on the device.
pub fn device_bytes(tensor: &MappedTensor) -> u64 {
    let is_kept = encoding(tensor.ty()).is_some_and(Matrix::is_kept);
    match is_kept && tensor.shape().len() > 1 {
        true => tensor.bytes().len() as u64,
        false => 4 * tensor.n_values() as u64,
    }
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
fn upload(device: &Device, tensor: &MappedTensor) -> Result<Matrix, CudaError> {
    bring(device, std::slice::from_ref(tensor))
}

/// The same of matrices that are equally wide: their rows become one matrix, one behind the other.
/// Where the types differ, all are widened to float32.
pub(super) fn bring(device: &Device, tensors: &[MappedTensor]) -> Result<Matrix, CudaError> {
    let n_rows = tensors.iter().map(MappedTensor::n_rows).sum();
    let shape = [n_rows, tensors.first().map_or(0, MappedTensor::row_len)];
    let mut encodings = tensors.iter().map(|tensor| encoding(tensor.ty()));
    let first = encodings.next().flatten();
    let same = first.filter(|first| encodings.all(|other| other == Some(*first)));
    if let Some(encoding) = same {
        return Matrix::bring(device, encoding, tensors.to_vec(), shape);
    }
    let widen = |tensor: &MappedTensor| {
        let values = tensor.to_vec().into_iter();
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        tensor.release(0..tensor.bytes().len());
        bytes
    };
    let widened = tensors.iter().map(widen).collect();
    Matrix::bring(device, Encoding::F32, widened, shape)
}

impl Source for MappedTensor {
    fn bytes(&self) -> &[u8] {
        self.bytes()
    }

    fn release(&self, part: Range<usize>) {
        self.release(part);
    }
}

/// Where a tensor's bytes lie, which is what tells it from others of the same file.
fn address(tensor: &MappedTensor) -> usize {
    tensor.bytes().as_ptr().addr()
}

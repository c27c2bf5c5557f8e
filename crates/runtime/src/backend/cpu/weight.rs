//! Weights in the layouts that kernels read.

use std::io;

use ponder_kernels_cpu::Threads;
use ponder_kernels_cpu::linear::{Encoding, Matrix};

use crate::weights::{MappedTensor, TensorType};

/// A tensor of the model.
#[derive(Debug)]
pub enum Weight {
    /// Norms and biases.
    Vector(Vec<f32>),
    /// A packed matrix.
    Matrix(Matrix),
    /// Rows to be looked up, in the mapped file.
    Table(MappedTensor),
}

impl Weight {
    pub(super) fn vector(&self) -> &[f32] {
        match self {
            Self::Vector(vector) => vector,
            _ => unreachable!("the decoder loaded this as a vector"),
        }
    }

    pub(super) fn matrix(&self) -> &Matrix {
        match self {
            Self::Matrix(matrix) => matrix,
            _ => unreachable!("the decoder loaded this as a matrix"),
        }
    }

    pub(super) fn table(&self) -> &MappedTensor {
        match self {
            Self::Table(table) => table,
            _ => unreachable!("the decoder loaded this as a table"),
        }
    }
}

/// Packs a matrix and lets go of its pages in the file.
pub(super) fn pack(threads: &Threads, tensor: &MappedTensor) -> io::Result<Weight> {
    let shape = [tensor.n_rows(), tensor.row_len()];
    let packed = match encoding(tensor.ty()) {
        Some(encoding) => Matrix::pack(threads, encoding, tensor.bytes(), shape),
        None => {
            let values = tensor.to_vec().into_iter();
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            Matrix::pack(threads, Encoding::F32, &bytes, shape)
        }
    };
    tensor.release();
    Ok(Weight::Matrix(packed?))
}

/// `None` for the types that no weights have; they are widened.
fn encoding(ty: TensorType) -> Option<Encoding> {
    match ty {
        TensorType::F32 => Some(Encoding::F32),
        TensorType::F16 => Some(Encoding::F16),
        TensorType::BF16 => Some(Encoding::BF16),
        TensorType::Block(format) => Some(Encoding::Block(format)),
        _ => None,
    }
}

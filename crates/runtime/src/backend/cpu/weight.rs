//! Weights in the layouts that kernels read.

use std::io;
use std::ops::Range;

use ponder_kernels_cpu::linear::{Encoding, Matrix, Team};
use ponder_kernels_cpu::{Arena, Source};

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

/// Packs a matrix and lets go of its pages in the file; a matrix of a format that has no kernel
/// stays there.
pub(super) fn pack(team: &Team, arena: &mut Arena, tensor: &MappedTensor) -> io::Result<Weight> {
    let shape = [tensor.n_rows(), tensor.row_len()];
    let (threads, isa) = (team.threads(), team.isa());
    let matrix = match encoding(tensor.ty()) {
        Some(encoding) => Matrix::pack(threads, arena, isa, encoding, tensor.clone(), shape),
        None => {
            let values = tensor.to_vec().into_iter();
            tensor.release(0..tensor.bytes().len());
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            Matrix::pack(threads, arena, isa, Encoding::F32, bytes, shape)
        }
    }?;
    Ok(Weight::Matrix(matrix))
}

impl Source for MappedTensor {
    fn bytes(&self) -> &[u8] {
        self.bytes()
    }

    fn release(&self, part: Range<usize>) {
        self.release(part);
    }
}

/// `None` for the types that no weights have; they are widened.
pub(in crate::backend) fn encoding(ty: TensorType) -> Option<Encoding> {
    match ty {
        TensorType::F32 => Some(Encoding::F32),
        TensorType::F16 => Some(Encoding::F16),
        TensorType::BF16 => Some(Encoding::BF16),
        TensorType::Block(format) => Some(Encoding::Block(format)),
        _ => None,
    }
}

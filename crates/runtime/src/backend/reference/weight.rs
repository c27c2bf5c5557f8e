//! Weights that stay in the file.

use candle_core::{Device, Result as CandleResult, Tensor};
use rayon::prelude::*;

use super::wrap;
use crate::{backend::BackendError, weights::MappedTensor};

/// Values widened at a time: a block that stays in the second-level cache.
const CHUNK_LEN: usize = 1 << 16;

/// A tensor of the model.
#[derive(Debug)]
pub enum Weight {
    /// Norms and biases, widened once. `[n]`
    Vector(Tensor),
    /// A matrix in the mapped file. `[out, in]`
    Matrix(MappedTensor),
}

impl Weight {
    /// Takes over a tensor. Vectors are small and widened; matrices are left where they are.
    pub(super) fn load(tensor: &MappedTensor) -> Result<Self, BackendError> {
        if tensor.shape().len() > 1 {
            return Ok(Self::Matrix(tensor.clone()));
        }
        wrap("load", || {
            Ok(Self::Vector(Tensor::new(tensor.to_vec(), &Device::Cpu)?))
        })
    }

    /// The vector inside.
    pub(super) fn vector(&self) -> CandleResult<&Tensor> {
        match self {
            Self::Vector(vector) => Ok(vector),
            Self::Matrix(matrix) => {
                candle_core::bail!("{} is a matrix where a vector is needed", matrix.name())
            }
        }
    }

    /// A whole small matrix, widened. `[out * in]`
    pub(super) fn dense(&self) -> CandleResult<Vec<f32>> {
        let matrix = self.matrix().map_err(candle_core::Error::wrap)?;
        Ok(matrix.to_vec())
    }

    /// Some rows of a matrix. `[rows.len(), in]`
    pub(super) fn rows(&self, rows: &[u32]) -> Result<Tensor, BackendError> {
        let matrix = self.matrix()?;
        let width = matrix.row_len();
        let mut values = vec![0.0; rows.len() * width];
        for (&row, out) in rows.iter().zip(values.chunks_exact_mut(width)) {
            matrix.read_rows(row as usize..row as usize + 1, out);
        }
        wrap("embed", || {
            Tensor::from_vec(values, (rows.len(), width), &Device::Cpu)
        })
    }

    /// `x @ selfᵀ`. `[n, in]` → `[n, out]`
    pub(super) fn matmul(&self, x: &Tensor) -> Result<Tensor, BackendError> {
        let matrix = self.matrix()?;
        let (n_rows, width) = (matrix.n_rows(), matrix.row_len());
        let step = (CHUNK_LEN / width).max(1);
        let x = wrap("linear", || x.contiguous())?;
        let parts: Vec<Tensor> = (0..n_rows.div_ceil(step))
            .into_par_iter()
            .map(|part| {
                let rows = part * step..((part + 1) * step).min(n_rows);
                let n = rows.len();
                let mut values = vec![0.0; n * width];
                matrix.read_rows(rows, &mut values);
                wrap("linear", || {
                    x.matmul(&Tensor::from_vec(values, (n, width), &Device::Cpu)?.t()?)
                })
            })
            .collect::<Result<_, BackendError>>()?;
        wrap("linear", || Tensor::cat(&parts, 1))
    }

    fn matrix(&self) -> Result<&MappedTensor, BackendError> {
        match self {
            Self::Matrix(matrix) => Ok(matrix),
            Self::Vector(_) => wrap("linear", || {
                candle_core::bail!("a vector stands where a matrix is needed")
            }),
        }
    }
}

//! Rows of one tensor: read, checked, encoded in parallel, handed on in order.

use ponder_kernels_cpu::{Encoder, f32_to_bf16, f32_to_f16};
use rayon::ThreadPool;
use rayon::prelude::*;

use super::QuantizeError;
use super::tensors::{RowOrder, Values};
use crate::weights::gguf::write::TensorInfo;
use crate::weights::{MappedTensor, TensorType, WeightsError};

/// Values that are in memory at a time, unless a row has more: 16 MiB as float32.
const BATCH_VALUES: usize = 1 << 22;
/// Values that a thread takes at a time, unless a row has more.
const TASK_VALUES: usize = 1 << 15;
/// Bytes that are copied at a time, so that progress shows.
const COPY_BYTES: usize = 16 << 20;

/// Takes bytes of the file in order.
type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), WeightsError> + 'a;

/// Hands the bytes of a tensor to `sink`.
pub(super) fn write_tensor(
    pool: &ThreadPool,
    info: &TensorInfo,
    values: &Values,
    sink: &mut Sink<'_>,
) -> Result<(), QuantizeError> {
    match values {
        Values::Computed(values) => {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            Ok(sink(&bytes)?)
        }
        Values::Stored {
            parts,
            rows: RowOrder::Same,
            offset: 0.0,
        } if parts.iter().all(|part| part.ty() == info.ty) => {
            for part in parts {
                part.bytes().chunks(COPY_BYTES).try_for_each(&mut *sink)?;
            }
            Ok(())
        }
        Values::Stored {
            parts,
            rows,
            offset,
        } => {
            let tensor = Rows {
                pool,
                info,
                rows: *rows,
                offset: *offset,
            };
            parts
                .iter()
                .enumerate()
                .try_for_each(|(i, part)| tensor.write(i, part, sink))
        }
    }
}

/// The rows of a tensor on their way.
struct Rows<'a> {
    pool: &'a ThreadPool,
    info: &'a TensorInfo,
    rows: RowOrder,
    offset: f32,
}

impl Rows<'_> {
    fn write(
        &self,
        part_idx: usize,
        part: &MappedTensor,
        sink: &mut Sink<'_>,
    ) -> Result<(), QuantizeError> {
        let (n_rows, row_len) = (part.n_rows(), part.row_len());
        let ty = self.info.ty;
        let row_bytes = row_len / ty.block_len() * ty.block_bytes();
        if row_bytes == 0 {
            return Ok(());
        }
        let rows_per_batch = (BATCH_VALUES / row_len).clamp(1, n_rows.max(1));
        let rows_per_task = (TASK_VALUES / row_len).max(1);
        let mut values = vec![0.0; rows_per_batch * row_len];
        let mut bytes = vec![0; rows_per_batch * row_bytes];
        for first in (0..n_rows).step_by(rows_per_batch) {
            let n = rows_per_batch.min(n_rows - first);
            let (values, bytes) = (&mut values[..n * row_len], &mut bytes[..n * row_bytes]);
            let task = |task: usize, values: &mut [f32], bytes: &mut [u8]| {
                let first = first + task * rows_per_task;
                self.read(part, first, row_len, values);
                self.check(part_idx * n_rows + first, row_len, values)?;
                encode(ty, values, bytes);
                Ok::<_, QuantizeError>(())
            };
            self.pool.install(|| {
                values
                    .par_chunks_mut(rows_per_task * row_len)
                    .zip(bytes.par_chunks_mut(rows_per_task * row_bytes))
                    .enumerate()
                    .try_for_each(|(i, (values, bytes))| task(i, values, bytes))
            })?;
            sink(bytes)?;
        }
        Ok(())
    }

    /// Reads whole rows from `first` on, in the order of the new file.
    fn read(&self, part: &MappedTensor, first: usize, row_len: usize, values: &mut [f32]) {
        let one_row = part.shape().len() < 2;
        match self.rows {
            RowOrder::Same => part.read_rows(first..first + values.len() / row_len, values),
            // A bias is one row of a tensor, whose values are permuted as the rows of its matrix.
            RowOrder::Interleaved { .. } if one_row => {
                let stored = part.to_vec();
                for (i, value) in values.iter_mut().enumerate() {
                    *value = stored[self.rows.source(i)];
                }
            }
            RowOrder::Interleaved { .. } => {
                for (i, row) in values.chunks_exact_mut(row_len).enumerate() {
                    let source = self.rows.source(first + i);
                    part.read_rows(source..source + 1, row);
                }
            }
        }
        if self.offset != 0.0 {
            values.iter_mut().for_each(|value| *value += self.offset);
        }
    }

    fn check(&self, first: usize, row_len: usize, values: &[f32]) -> Result<(), QuantizeError> {
        let (largest, ty) = (max_magnitude(self.info.ty), self.info.ty.name());
        let Some(at) = values.iter().position(|v| v.is_nan() || v.abs() > largest) else {
            return Ok(());
        };
        let (name, row, value) = (self.info.name.clone(), first + at / row_len, values[at]);
        Err(match value.is_finite() {
            true => QuantizeError::TooLarge {
                name,
                row,
                value,
                ty,
            },
            false => QuantizeError::NotFinite { name, row, value },
        })
    }
}

/// Beyond this a value would become infinite or be cut off.
fn max_magnitude(ty: TensorType) -> f32 {
    match ty {
        TensorType::F16 => 65_504.0,
        // The largest bfloat16.
        TensorType::BF16 => f32::from_bits(0x7f7f_0000),
        TensorType::Block(format) => {
            Encoder::of(format).map_or(f32::MAX, |encoder| encoder.max_magnitude())
        }
        _ => f32::MAX,
    }
}

/// # Panics
/// For types that are never chosen: those that are only read.
fn encode(ty: TensorType, values: &[f32], bytes: &mut [u8]) {
    match ty {
        TensorType::F32 => {
            for (value, bytes) in values.iter().zip(bytes.as_chunks_mut().0) {
                *bytes = value.to_le_bytes();
            }
        }
        TensorType::F16 => f32_to_f16(values, bytes),
        TensorType::BF16 => f32_to_bf16(values, bytes),
        TensorType::Block(format) => Encoder::of(format)
            .unwrap_or_else(|| unreachable!("{format} is not chosen for any tensor"))
            .encode(values, bytes),
        other => unreachable!("{other} is copied as it is"),
    }
}

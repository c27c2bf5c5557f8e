//! What the processor can do at most.
//!
//! Read bandwidth is that of memory far larger than the caches. The peaks of arithmetic are those of
//! the kernels themselves on operands that stay in the second-level cache: what no product of a model
//! can exceed. All on as many threads as the model runs on.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ponder_kernels_cpu::{
    Arena, Bf16Rows, BlockFormat, FloatFormat, FloatMatrix, HugeBytes, Int8Matrix, Int8Rows, Isa,
    Threads,
};
use serde::Serialize;

use crate::BenchError;

/// Bytes that are read, more than any cache holds.
const MEMORY: usize = 256 << 20;

/// Rows and inputs of the matrix whose products are timed, and rows of activations.
const SHAPE: [usize; 2] = [256, 1024];
const ROWS: usize = 64;

/// How long each probe repeats what it times; the best time counts.
const PROBE_TIME: Duration = Duration::from_millis(300);

/// The limits of a processor.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CpuLimits {
    /// Threads that were used.
    pub threads: usize,
    /// Bytes that can be read, in 10⁹ a second.
    pub read_gb_s: f64,
    /// Multiplications and additions of bytes, in 10⁹ a second.
    pub int8_gop_s: f64,
    /// Multiplications and additions of float32, in 10⁹ a second.
    pub f32_gflop_s: f64,
    /// The same with weights of bfloat16, which some processors multiply themselves.
    pub bf16_gflop_s: f64,
}

impl CpuLimits {
    /// Probes the machine with as many threads.
    ///
    /// # Errors
    /// When the system gives no threads or no memory.
    pub(super) fn probe(threads: usize) -> Result<Self, BenchError> {
        let team = Threads::new(threads).map_err(BenchError::Probe)?;
        Ok(Self {
            threads,
            read_gb_s: read(&team).map_err(BenchError::Probe)?,
            int8_gop_s: int8(&team).map_err(BenchError::Probe)?,
            f32_gflop_s: float(&team, FloatFormat::F32).map_err(BenchError::Probe)?,
            bf16_gflop_s: float(&team, FloatFormat::BF16).map_err(BenchError::Probe)?,
        })
    }

    /// The peak for a model most of whose weights have the type that is named: that of bytes where they
    /// are quantized, else that of floats.
    pub(super) fn peak(&self, weights: &str) -> f64 {
        match weights {
            "F32" | "F16" => self.f32_gflop_s,
            "BF16" => self.bf16_gflop_s,
            _ => self.int8_gop_s,
        }
    }
}

/// The least seconds that something takes.
fn fastest(mut run: impl FnMut()) -> f64 {
    let (began, mut best) = (Instant::now(), f64::INFINITY);
    while began.elapsed() < PROBE_TIME {
        let began = Instant::now();
        run();
        best = best.min(began.elapsed().as_secs_f64());
    }
    best
}

fn read(threads: &Threads) -> std::io::Result<f64> {
    let mut bytes = HugeBytes::zeroed(MEMORY)?;
    bytes.fill(1);
    let part_len = bytes.len() / 64;
    let seconds = fastest(|| {
        threads.run(64, &|part, _| {
            let mut sums = [0u64; 32];
            for line in bytes[part * part_len..][..part_len].as_chunks::<256>().0 {
                for (sum, word) in sums.iter_mut().zip(line.as_chunks().0) {
                    *sum = sum.wrapping_add(u64::from_ne_bytes(*word));
                }
            }
            black_box(sums);
        });
    });
    Ok(MEMORY as f64 / seconds / 1e9)
}

fn int8(threads: &Threads) -> std::io::Result<f64> {
    let isa = Isa::best();
    let format = BlockFormat::Q8_0;
    let bytes = vec![1; SHAPE[0] * SHAPE[1] / format.block_len() * format.block_bytes()];
    let source = &bytes;
    let matrix = Int8Matrix::pack(threads, &mut Arena::default(), isa, format, source, SHAPE)?;
    let mut rows = Int8Rows::default();
    rows.quantize(isa, threads, &vec![0.5; ROWS * SHAPE[1]], SHAPE[1]);
    Ok(peak(threads, || {
        let mut tile = vec![0.0; ROWS * matrix.panel_len()];
        let mut codes = Vec::new();
        for panel in 0..matrix.n_panels() {
            matrix.panel(isa, panel, black_box(&rows), &mut tile, &mut codes);
        }
        black_box(tile);
    }))
}

fn float(threads: &Threads, format: FloatFormat) -> std::io::Result<f64> {
    let isa = Isa::best();
    let bytes = vec![0; SHAPE[0] * SHAPE[1] * format.n_bytes()];
    let matrix = FloatMatrix::pack(threads, &mut Arena::default(), isa, format, &bytes, SHAPE)?;
    let x = vec![0.5; ROWS * SHAPE[1]];
    let mut rounded = Bf16Rows::default();
    rounded.round(threads, &x, SHAPE[1]);
    Ok(peak(threads, || {
        let mut tile = vec![0.0; ROWS * FloatMatrix::PANEL];
        for panel in 0..matrix.n_panels() {
            match matrix.rounds_input() {
                true => matrix.rounded_panel(isa, panel, black_box(&rounded), &mut tile),
                false => matrix.panel(isa, panel, black_box(&x), &mut tile),
            }
        }
        black_box(tile);
    }))
}

/// 10⁹ operations a second of a product of [`SHAPE`] with [`ROWS`] on all threads, each of which
/// computes all of it a few times.
fn peak(threads: &Threads, product: impl Fn() + Sync) -> f64 {
    const TIMES: usize = 8;
    let n = threads.len();
    let seconds = fastest(|| threads.run(n * TIMES, &|_, _| product()));
    let ops = 2 * SHAPE[0] * SHAPE[1] * ROWS * n * TIMES;
    ops as f64 / seconds / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_a_machine() {
        let limits = CpuLimits::probe(1).expect("a machine");
        let peaks = [limits.int8_gop_s, limits.f32_gflop_s, limits.bf16_gflop_s];
        for value in peaks.into_iter().chain([limits.read_gb_s]) {
            assert!((0.05..100_000.0).contains(&value), "{limits:?}");
        }
    }
}

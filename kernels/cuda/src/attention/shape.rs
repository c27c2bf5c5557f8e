//! Which kernels a layer takes, and how they are launched.

use super::KvFormat;
use crate::step::BLOCK_LEN;
use crate::{Properties, StepBounds};

/// Rows of a tile.
pub(super) const TILE_ROWS: usize = 16;
/// Bytes of shared memory that a block of the decode kernel is given at most, so that several of
/// them run side by side.
const DECODE_SHARED: usize = 76 << 10;
/// Splits of a span's keys.
const MAX_SPLITS: usize = 128;

/// The tensor-core kernels of a format, for heads of up to `dim` dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FastKernels {
    pub(super) dim: usize,
    pub(super) decode: &'static str,
    pub(super) prefill: &'static str,
}

macro_rules! of_format {
    ($format:literal) => {
        [
            of_format!($format, 64, "64"),
            of_format!($format, 96, "96"),
            of_format!($format, 128, "128"),
            of_format!($format, 256, "256"),
        ]
    };
    ($format:literal, $dim:literal, $name:literal) => {
        FastKernels {
            dim: $dim,
            decode: concat!("attention_decode_", $format, "_", $name),
            prefill: concat!("attention_prefill_", $format, "_", $name),
        }
    };
}

impl FastKernels {
    /// Those for heads of this size, if there are any.
    pub(super) fn find(format: KvFormat, head_dim: usize) -> Option<Self> {
        let kernels = match format {
            KvFormat::F32 => return None,
            KvFormat::F16 => of_format!("f16"),
            KvFormat::Bf16 => of_format!("bf16"),
            KvFormat::Q8_0 => of_format!("q8_0"),
            KvFormat::Fp8 => of_format!("fp8"),
        };
        let fits = |kernels: &Self| head_dim <= kernels.dim;
        kernels
            .into_iter()
            .find(fits)
            .filter(|_| head_dim.is_multiple_of(8))
    }

    /// Bytes of a row in shared memory.
    fn row_bytes(self) -> usize {
        2 * (self.dim + 8)
    }

    /// Bytes of the keys and values of a block.
    fn stage_bytes(self) -> usize {
        2 * BLOCK_LEN * self.row_bytes()
    }

    /// Tiles of a warp of the prefill kernel.
    fn tiles_per_warp(self) -> usize {
        if self.dim <= 128 { 2 } else { 1 }
    }
}

/// How the decode kernel is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DecodeLaunch {
    pub(super) n_warps: usize,
    pub(super) shared: usize,
    /// Tiles of rows of the longest span.
    pub(super) n_tiles: usize,
    /// Blocks of threads that the keys of a span and a KV head are split among, tiles included.
    pub(super) budget: usize,
    /// Splits that there can be.
    pub(super) n_splits: usize,
    /// Rows of a tile that has most.
    pub(super) part_rows: usize,
}

impl DecodeLaunch {
    pub(super) fn new(
        kernels: FastKernels,
        properties: &Properties,
        (n_heads, n_kv_heads): (usize, usize),
        window: Option<usize>,
        bounds: &StepBounds,
    ) -> Self {
        let shared = |n_warps: usize| {
            let of_warp = kernels.stage_bytes() + TILE_ROWS * 8;
            n_warps * of_warp + TILE_ROWS * kernels.row_bytes()
        };
        // The kernel has some of its own.
        let limit = (properties.shared_memory - 64).min(DECODE_SHARED);
        let fits = |n_warps: &usize| shared(*n_warps) <= limit;
        let n_warps = [4, 2].into_iter().find(fits).unwrap_or(1);

        let rows = bounds.short_rows * (n_heads / n_kv_heads);
        // Twice as many blocks as multiprocessors, so that all have something to do.
        let budget = (2 * properties.n_multiprocessors).div_ceil(n_kv_heads);
        let budget = budget.clamp(1, MAX_SPLITS);
        let seen = window.map_or(bounds.short_len, |window| {
            bounds.short_len.min(window + bounds.short_rows)
        });
        // Keys may begin and end inside of blocks.
        let n_blocks = seen.div_ceil(BLOCK_LEN) + 1;
        Self {
            n_warps,
            shared: shared(n_warps),
            n_tiles: rows.div_ceil(TILE_ROWS),
            budget,
            n_splits: n_blocks.div_ceil(n_warps).min(budget),
            part_rows: rows.min(TILE_ROWS),
        }
    }
}

/// How the prefill kernel is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrefillLaunch {
    pub(super) n_warps: usize,
    /// Blocks of keys in shared memory.
    pub(super) n_stages: usize,
    pub(super) shared: usize,
    /// Blocks of threads for the rows of the longest span.
    pub(super) n_blocks: usize,
}

impl PrefillLaunch {
    pub(super) fn new(
        kernels: FastKernels,
        properties: &Properties,
        group: usize,
        bounds: &StepBounds,
    ) -> Self {
        let rows_per_warp = TILE_ROWS * kernels.tiles_per_warp();
        let shared = |n_warps: usize, n_stages: usize| {
            n_warps * rows_per_warp * kernels.row_bytes() + n_stages * kernels.stage_bytes()
        };
        let limit = properties.shared_memory;
        let rows = bounds.long_rows * group;
        let (n_warps, n_stages) = [(4, 2), (3, 2), (2, 2), (4, 1), (3, 1), (2, 1)]
            .into_iter()
            .find(|&(n_warps, n_stages)| shared(n_warps, n_stages) <= limit)
            .unwrap_or((1, 1));
        let n_warps = n_warps.min(rows.div_ceil(rows_per_warp)).max(1);
        Self {
            n_warps,
            n_stages,
            shared: shared(n_warps, n_stages),
            n_blocks: rows.div_ceil(n_warps * rows_per_warp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_fit_into_every_device() {
        let bounds = StepBounds {
            n_rows: 500,
            n_short: 1,
            short_rows: 8,
            short_len: 1000,
            n_long: 1,
            long_rows: 492,
        };
        for kilobytes in [64, 99, 163, 227] {
            let properties = Properties {
                name: String::new(),
                compute_capability: (7, 5),
                n_multiprocessors: 40,
                memory: 0,
                shared_memory: kilobytes << 10,
                driver_version: 13000,
                clock_mhz: None,
                memory_clock_mhz: None,
            };
            for head_dim in [8, 64, 80, 96, 128, 200, 256] {
                let kernels = FastKernels::find(KvFormat::F16, head_dim).expect("for this size");
                let decode = DecodeLaunch::new(kernels, &properties, (8, 2), None, &bounds);
                let prefill = PrefillLaunch::new(kernels, &properties, 4, &bounds);
                assert!(decode.shared + 64 <= kilobytes << 10, "{decode:?}");
                assert!(prefill.shared <= kilobytes << 10, "{prefill:?}");
            }
        }
    }
}

//! Names of kernels.

use ponder_kernels_cpu::BlockFormat;

use super::Encoding;
use super::hopper::HopperTile;

/// Which of the kernels of an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    Embed,
    Exact,
    /// For so many rows of activations at most.
    Matvec(Most),
    Matmul(TileSize),
    /// In half precision.
    HalfMatmul(TileSize),
    /// With activations in FP8.
    Fp8Matmul(TileSize),
    /// With activations in MXFP8.
    MxMatmul(TileSize),
    Hopper(HopperTile),
}

/// Rows of activations that a kernel for few of them has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Most {
    One,
    Two,
    Four,
    Eight,
}

/// Rows of weights and of activations that a block has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TileSize {
    /// 64 and 32.
    Small,
    /// 64 and 64.
    Medium,
    /// 128 and 128.
    Large,
}

/// The name of an encoding, between those of a kernel and of its variant.
macro_rules! named {
    ($encoding:expr, $before:literal, $behind:literal) => {
        match $encoding {
            Encoding::F32 => concat!($before, "f32", $behind),
            Encoding::F16 => concat!($before, "f16", $behind),
            Encoding::BF16 => concat!($before, "bf16", $behind),
            Encoding::Fp8 => concat!($before, "fp8", $behind),
            Encoding::Block(format) => match format {
                BlockFormat::Q4_0 => concat!($before, "q4_0", $behind),
                BlockFormat::Q4_1 => concat!($before, "q4_1", $behind),
                BlockFormat::Q5_0 => concat!($before, "q5_0", $behind),
                BlockFormat::Q5_1 => concat!($before, "q5_1", $behind),
                BlockFormat::Q8_0 => concat!($before, "q8_0", $behind),
                BlockFormat::Q2K => concat!($before, "q2_k", $behind),
                BlockFormat::Q3K => concat!($before, "q3_k", $behind),
                BlockFormat::Q4K => concat!($before, "q4_k", $behind),
                BlockFormat::Q5K => concat!($before, "q5_k", $behind),
                BlockFormat::Q6K => concat!($before, "q6_k", $behind),
                BlockFormat::IQ4NL => concat!($before, "iq4_nl", $behind),
                BlockFormat::IQ4XS => concat!($before, "iq4_xs", $behind),
                BlockFormat::MXFP4 => concat!($before, "mxfp4", $behind),
                _ => unreachable!("formats without a kernel are widened"),
            },
        }
    };
}

impl Kernel {
    /// Its name in the sources.
    pub(super) fn name(self, encoding: Encoding) -> &'static str {
        match self {
            Self::Embed => named!(encoding, "embed_", ""),
            Self::Exact => named!(encoding, "exact_", ""),
            Self::Matvec(Most::One) => named!(encoding, "matvec_", "_1"),
            Self::Matvec(Most::Two) => named!(encoding, "matvec_", "_2"),
            Self::Matvec(Most::Four) => named!(encoding, "matvec_", "_4"),
            Self::Matvec(Most::Eight) => named!(encoding, "matvec_", "_8"),
            Self::Matmul(TileSize::Small) => named!(encoding, "matmul_", "_small"),
            Self::Matmul(TileSize::Medium) => named!(encoding, "matmul_", "_medium"),
            Self::Matmul(TileSize::Large) => named!(encoding, "matmul_", "_large"),
            Self::HalfMatmul(TileSize::Small) => named!(encoding, "matmul_", "_half_small"),
            Self::HalfMatmul(_) => named!(encoding, "matmul_", "_half_medium"),
            Self::Fp8Matmul(TileSize::Small) => named!(encoding, "matmul_", "_fp8_small"),
            Self::Fp8Matmul(TileSize::Medium) => named!(encoding, "matmul_", "_fp8_medium"),
            Self::Fp8Matmul(TileSize::Large) => named!(encoding, "matmul_", "_fp8_large"),
            Self::MxMatmul(TileSize::Small) => named!(encoding, "matmul_", "_mxfp8_small"),
            Self::MxMatmul(TileSize::Medium) => named!(encoding, "matmul_", "_mxfp8_medium"),
            Self::MxMatmul(TileSize::Large) => named!(encoding, "matmul_", "_mxfp8_large"),
            Self::Hopper(HopperTile::Narrow) => named!(encoding, "hopper_", "_128"),
            Self::Hopper(HopperTile::Wide) => named!(encoding, "hopper_", "_256"),
        }
    }
}

impl Most {
    /// The kernel for `n` rows of activations; `None` where they are too many.
    pub(super) fn of(n: usize) -> Option<Self> {
        Some(match n {
            0 | 1 => Self::One,
            2 => Self::Two,
            3 | 4 => Self::Four,
            5..=8 => Self::Eight,
            _ => return None,
        })
    }

    /// Rows of activations.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Rows of weights that a team of warps has.
    pub(super) fn tile_rows(self) -> usize {
        match self {
            Self::One | Self::Two => 2,
            Self::Four | Self::Eight => 4,
        }
    }
}

impl TileSize {
    /// Rows of weights.
    pub(super) fn rows(self) -> usize {
        match self {
            Self::Small | Self::Medium => 64,
            Self::Large => 128,
        }
    }

    /// Rows of activations.
    pub(super) fn columns(self) -> usize {
        match self {
            Self::Small => 32,
            Self::Medium => 64,
            Self::Large => 128,
        }
    }
}

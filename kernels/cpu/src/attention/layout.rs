//! How keys and values lie in memory.
//!
//! The storage of a layer is a list of blocks of [`BLOCK_LEN`] tokens, a block a list of KV heads,
//! and a head its keys, then its values, both in chunks of 32 dimensions:
//!
//! ```text
//! keys     per chunk: scales [32 tokens], then rows [32 dimensions][32 tokens]
//! values   per chunk: scales [32 tokens], then rows [32 tokens][32 dimensions]
//! ```
//!
//! Only the quantized formats have scales (half precision); their rows lie in pairs, interleaved
//! lane by lane. The keys' last chunk has as many rows
//! as there are dimensions left, the values' last chunk is filled up with zeros. So both are read
//! strictly in order, and scores need no sums across lanes: the lanes are tokens.

use crate::simd::rows::WIDTH;

/// Tokens of a block.
pub const BLOCK_LEN: usize = WIDTH;

/// Bytes of a chunk's scales: one half-precision value for each token.
pub(super) const SCALE_BYTES: usize = 2 * BLOCK_LEN;

/// How a number in the cache is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// 32 bits: exact.
    F32,
    /// Half precision; what is beyond its range becomes its largest number.
    F16,
    /// bfloat16.
    BF16,
    /// 8 bits, and a half-precision scale for 32 dimensions of a token.
    Q8_0,
    /// 4 bits, and a half-precision scale for 32 dimensions of a token.
    Q4_0,
}

impl KvFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::BF16, Self::Q8_0, Self::Q4_0];

    /// Bytes of a row of 32 numbers, without their scale.
    const fn row_bytes(self) -> usize {
        match self {
            Self::F32 => 4 * WIDTH,
            Self::F16 | Self::BF16 => 2 * WIDTH,
            Self::Q8_0 => WIDTH,
            Self::Q4_0 => WIDTH / 2,
        }
    }

    pub(super) const fn has_scales(self) -> bool {
        matches!(self, Self::Q8_0 | Self::Q4_0)
    }
}

/// The shape of a layer's storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// How a number is stored.
    pub format: KvFormat,
    /// Heads of keys and values.
    pub n_kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
}

impl KvLayout {
    /// Bytes of a block of [`BLOCK_LEN`] tokens, all heads; a multiple of 64. Storage holds block
    /// `i` at `i` times this.
    #[must_use]
    pub const fn block_bytes(&self) -> usize {
        self.n_kv_heads * self.head_bytes()
    }

    /// Bytes of one head in a block.
    pub(super) const fn head_bytes(&self) -> usize {
        let per_chunk = self.scale_bytes() + BLOCK_LEN * self.format.row_bytes();
        self.key_bytes() + self.n_chunks() * per_chunk
    }

    /// Bytes of a head's keys, where its values begin.
    pub(super) const fn key_bytes(&self) -> usize {
        // Rows of quantized numbers go in pairs.
        let n_rows = if self.format.has_scales() {
            self.head_dim.next_multiple_of(2)
        } else {
            self.head_dim
        };
        let rows = n_rows * self.format.row_bytes();
        (self.n_chunks() * self.scale_bytes() + rows).next_multiple_of(64)
    }

    /// Chunks of 32 dimensions, the last one perhaps not full.
    pub(super) const fn n_chunks(&self) -> usize {
        self.head_dim.div_ceil(WIDTH)
    }

    const fn scale_bytes(&self) -> usize {
        if self.format.has_scales() {
            SCALE_BYTES
        } else {
            0
        }
    }
}

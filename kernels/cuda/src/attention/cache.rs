use crate::step::BLOCK_LEN;
use crate::{CudaError, Device, HostMemory, Memory};

/// Dimensions of a head that kernels have room for.
const MAX_HEAD_DIM: usize = 256;

/// How a number in the cache is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// 32 bits: exact.
    F32,
    /// Half precision; what is beyond its range becomes its largest number.
    F16,
    /// bfloat16.
    Bf16,
    /// Whole numbers of 8 bits, and a half-precision scale for 32 dimensions of a token.
    Q8_0,
    /// Floats of 8 bits (E4M3), and a power of two as their scale for 32 dimensions of a token. What
    /// is beyond 57,344 becomes that.
    Fp8,
}

impl KvFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Fp8];
}

/// The shape of a layer's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// How a number is stored.
    pub format: KvFormat,
    /// Heads of keys and values.
    pub n_kv_heads: usize,
    /// Dimensions of a head.
    pub head_dim: usize,
    /// Blocks of 32 tokens.
    pub n_blocks: usize,
}

impl CacheShape {
    /// Bytes of the keys of a block, and of its values.
    pub const fn block_bytes(&self) -> usize {
        let of_token = match self.format {
            KvFormat::F32 => 4 * self.head_dim,
            KvFormat::F16 | KvFormat::Bf16 => 2 * self.head_dim,
            KvFormat::Q8_0 => self.head_dim + 2 * self.head_dim.div_ceil(32),
            KvFormat::Fp8 => self.head_dim + self.head_dim.div_ceil(32),
        };
        self.n_kv_heads * BLOCK_LEN * of_token
    }
}

/// The keys and values of a layer, in blocks of 32 tokens: in each block the heads, in each head the
/// tokens, in each token its dimensions. Scales of eight-bit numbers follow each head.
#[derive(Debug)]
pub struct CacheLayer {
    device: Device,
    shape: CacheShape,
    keys: Memory,
    values: Memory,
}

impl CacheLayer {
    /// A cache; what its blocks hold is undefined until they are written.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there are no heads, or they have no dimensions or more than 256.
    pub fn new(device: &Device, shape: CacheShape) -> Result<Self, CudaError> {
        assert!(
            shape.n_kv_heads > 0 && (1..=MAX_HEAD_DIM).contains(&shape.head_dim),
            "{} heads of {} dimensions",
            shape.n_kv_heads,
            shape.head_dim
        );
        let len = shape.n_blocks * shape.block_bytes();
        Ok(Self {
            keys: device.alloc(len)?,
            values: device.alloc(len)?,
            device: device.clone(),
            shape,
        })
    }

    /// Its shape.
    pub fn shape(&self) -> &CacheShape {
        &self.shape
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Copies a block.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn copy_block(&self, from: u32, to: u32) -> Result<(), CudaError> {
        if from == to {
            return Ok(());
        }
        let len = self.shape.block_bytes();
        let [from, to] = [from, to].map(|block| block as usize * len);
        for memory in [&self.keys, &self.values] {
            self.device.copy((memory, from), (memory, to), len)?;
        }
        Ok(())
    }

    /// Copies a block to the machine's memory, from byte `at` on.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there is no such block, or no room for it.
    pub fn keep_block(&self, block: u32, to: &HostMemory, at: usize) -> Result<(), CudaError> {
        let len = self.shape.block_bytes();
        for (memory, at) in [(&self.keys, at), (&self.values, at + len)] {
            let from = (memory, block as usize * len);
            self.device.keep(from, (to, at), len)?;
        }
        Ok(())
    }

    /// Copies a block back.
    ///
    /// # Errors
    /// Of the driver.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn restore_block(&self, from: &HostMemory, at: usize, block: u32) -> Result<(), CudaError> {
        let len = self.shape.block_bytes();
        for (memory, at) in [(&self.keys, at), (&self.values, at + len)] {
            let to = (memory, block as usize * len);
            self.device.restore((from, at), to, len)?;
        }
        Ok(())
    }

    /// Where keys and values lie.
    pub(super) fn memories(&self) -> [&Memory; 2] {
        [&self.keys, &self.values]
    }
}

use super::BackendError;

/// How a number in the cache is stored. No backend has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// 32 bits: exact.
    F32,
    /// Half precision; what is beyond its range becomes its largest number.
    F16,
    /// bfloat16.
    BF16,
    /// Floats of 8 bits (E4M3), and a scale for 32 dimensions of a token, a power of two. What is
    /// beyond 57,344 becomes that.
    Fp8,
    /// 8 bits, and a half-precision scale for 32 dimensions of a token.
    Q8_0,
    /// 4 bits, and a half-precision scale for 32 dimensions of a token.
    Q4_0,
}

impl KvFormat {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Fp8,
        Self::Q8_0,
        Self::Q4_0,
    ];

    /// The name as people write it: `f16`, `q8_0`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
        }
    }

    /// Bytes of 32 numbers, with their scale.
    #[must_use]
    pub const fn bytes_of_32(self) -> usize {
        match self {
            Self::F32 => 128,
            Self::F16 | Self::BF16 => 64,
            Self::Fp8 => 33,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
        }
    }

    /// A device has no kernels for it.
    pub(super) fn is_missing(self, device: &'static str, others: &'static str) -> BackendError {
        let name = self.name();
        BackendError::Device {
            device,
            operation: "--cache-type",
            message: format!("keys and values are not stored as {name} there (hint: {others})"),
        }
    }
}

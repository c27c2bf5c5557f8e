//! Instruction sets: which there are, which this machine has, which one is used.

use std::sync::OnceLock;

/// Overrides the choice of the instruction set, for tests and comparisons: the name of an [`Isa`].
const OVERRIDE: &str = "PONDER_ISA";

/// A set of instructions that kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// Portable Rust.
    Scalar,
    /// x86-64 with AVX2, FMA and F16C: every processor since Haswell and Zen.
    Avx2,
    /// The same with products of bytes summed by fours (AVX-VNNI): since Alder Lake and Zen 5. Same
    /// results as [`Avx2`](Self::Avx2), bit for bit.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI: since Ice Lake and Zen 4.
    Avx512,
    /// The same with products of bfloat16 (AVX512-BF16): since Cooper Lake and Zen 4.
    Avx512Bf16,
    /// AArch64: NEON, which all such processors have.
    Neon,
    /// AArch64 with products of bytes summed by fours (`FEAT_DotProd`): every processor since
    /// Cortex-A75 and A76, Neoverse N1 and Apple A13. Same results as [`Neon`](Self::Neon), bit
    /// for bit.
    NeonDot,
}

impl Isa {
    /// All of them, the plainest first.
    pub const ALL: [Self; 7] = [
        Self::Scalar,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Avx512Bf16,
        Self::Neon,
        Self::NeonDot,
    ];

    /// The best one that this machine has, or what the environment variable `PONDER_ISA` names.
    ///
    /// A name that is unknown, or a set that this machine lacks, is ignored. The choice is made
    /// once, at the first call.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let wanted = std::env::var(OVERRIDE).ok();
            let named = |isa: &Self| wanted.as_deref() == Some(isa.name());
            let mut available = Self::available();
            let chosen = available.clone().find(named);
            chosen
                .or_else(|| available.next_back())
                .unwrap_or(Self::Scalar)
        })
    }

    /// Those that this machine has.
    #[must_use]
    pub fn available() -> impl DoubleEndedIterator<Item = Self> + Clone {
        Self::ALL.into_iter().filter(|isa| isa.is_available())
    }

    /// Whether this machine has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Avx2 => has_avx2(),
            Self::AvxVnni => has_avx2() && has_avx_vnni(),
            Self::Avx512 => has_avx512(),
            Self::Avx512Bf16 => has_avx512() && has_avx512_bf16(),
            Self::Neon => has_neon(),
            Self::NeonDot => has_neon() && has_neon_dot(),
        }
    }

    /// Its name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx_vnni",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512_bf16",
            Self::Neon => "neon",
            Self::NeonDot => "neon_dot",
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn has_avx_vnni() -> bool {
    is_x86_feature_detected!("avxvnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx_vnni() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vnni")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn has_avx512_bf16() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512_bf16() -> bool {
    false
}

/// The kernels read bytes as the words of a little-endian machine.
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
fn has_neon() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

#[cfg(not(all(target_arch = "aarch64", target_endian = "little")))]
fn has_neon() -> bool {
    false
}

#[cfg(target_arch = "aarch64")]
fn has_neon_dot() -> bool {
    std::arch::is_aarch64_feature_detected!("dotprod")
}

#[cfg(not(target_arch = "aarch64"))]
fn has_neon_dot() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::{Isa, OVERRIDE};

    /// So a run of the tests that names a set cannot pass without it.
    #[test]
    fn a_set_that_was_asked_for_is_used() {
        if let Ok(name) = std::env::var(OVERRIDE) {
            assert_eq!(Isa::best().name(), name);
        }
    }

    #[test]
    fn names_are_distinct_and_the_best_set_is_there() {
        for (i, isa) in Isa::ALL.into_iter().enumerate() {
            assert!(Isa::ALL[..i].iter().all(|other| other.name() != isa.name()));
        }
        assert!(Isa::best().is_available());
    }
}

//! What each format's packed chunks say: codes, scales and offsets as vectors.
//!
//! Every function here is unsafe for the same two reasons, which callers take care of: it is inlined
//! into a function that has AVX2, FMA and F16C enabled, and the pointer is to a whole chunk (or to
//! eight scales in its header).
#![allow(unsafe_op_in_unsafe_fn, clippy::missing_safety_doc)]

use std::arch::x86_64::*;

use crate::BlockFormat;
use crate::int8::layout::Layout;
use crate::scalar::{E2M1_DOUBLED, IQ4_VALUES};

/// A packed format.
pub(in crate::int8) trait Format {
    /// Which.
    const FORMAT: BlockFormat;
    /// Where things are in its chunks.
    const LAYOUT: Layout = match Layout::of(Self::FORMAT) {
        Some(layout) => layout,
        None => panic!("a packed format"),
    };
    /// Codes are signed bytes; else they are unsigned and small.
    const SIGNED: bool = false;
    /// How many products of (unsigned) code pairs and activations can be added in 16 bits:
    /// the largest n with `2 × 127 × largest code × n < 2^15`, as a power of two.
    const SUMS_IN_16_BITS: usize = 1;
    /// Scales and offsets are for 16 values each; else for 32.
    const SIXTEENTHS: bool = false;
    /// Values have an offset.
    const OFFSET: bool = true;

    /// Codes of values `4 s .. 4 s + 4` of the `sub`-th 32, for each of eight rows.
    ///
    /// One vector at a time: an array of eight would not stay in registers.
    unsafe fn codes(chunk: *const u8, sub: usize, s: usize) -> __m256i;
    /// Scales of eight rows, for a half of the `sub`-th 32 values.
    unsafe fn scale(chunk: *const u8, sub: usize, half: usize) -> __m256;
    /// Offsets of the same, where there are any; `scale` is what [`scale`](Self::scale) gave.
    unsafe fn offset(chunk: *const u8, sub: usize, half: usize, scale: __m256) -> __m256;
}

/// The words of a chunk, 32 bytes each.
#[inline(always)]
unsafe fn word<F: Format>(chunk: *const u8, index: usize) -> __m256i {
    _mm256_loadu_si256(chunk.add(F::LAYOUT.header + 32 * index).cast())
}

/// The bits of `mask` in each byte, after a shift to the right.
#[inline(always)]
unsafe fn bits(word: __m256i, shift: usize, mask: i8) -> __m256i {
    let shifted = _mm256_srl_epi16(word, _mm_cvtsi32_si128(shift as i32));
    _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
}

/// Sixteen bytes per row, from word `first` on, whose low nibbles come before their high ones.
#[inline(always)]
unsafe fn nibbles<F: Format>(chunk: *const u8, first: usize, s: usize) -> __m256i {
    bits(word::<F>(chunk, first + s % 4), s / 4 * 4, 0x0f)
}

/// 32 bytes per row whose low nibbles are one sub-block and whose high ones the next.
#[inline(always)]
unsafe fn k_nibbles<F: Format>(chunk: *const u8, sub: usize, s: usize) -> __m256i {
    bits(word::<F>(chunk, sub / 2 * 8 + s), sub % 2 * 4, 0x0f)
}

/// 32 bytes per row that are four sub-blocks of two bits, from word `first` on.
#[inline(always)]
unsafe fn two_bits<F: Format>(chunk: *const u8, first: usize, sub: usize, s: usize) -> __m256i {
    bits(word::<F>(chunk, first + sub / 4 * 8 + s), sub % 4 * 2, 3)
}

/// One bit per value and sub-block, from word `first` on.
#[inline(always)]
unsafe fn one_bit<F: Format>(chunk: *const u8, first: usize, sub: usize, s: usize) -> __m256i {
    bits(word::<F>(chunk, first + s), sub, 1)
}

/// Two sets of bits in one byte, the second moved up by `PLACE`.
#[inline(always)]
unsafe fn joined<const PLACE: i32>(low: __m256i, high: __m256i) -> __m256i {
    _mm256_or_si256(low, _mm256_slli_epi16::<PLACE>(high))
}

/// The fifth bits of Q5_0 and Q5_1: bit `s` of each byte of word 4.
#[inline(always)]
unsafe fn fifth_bit<F: Format>(chunk: *const u8, s: usize) -> __m256i {
    bits(word::<F>(chunk, 4), s, 1)
}

/// Nibbles looked up in a table of sixteen bytes.
#[inline(always)]
unsafe fn looked_up(codes: __m256i, table: &[i8; 16]) -> __m256i {
    let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
    _mm256_shuffle_epi8(table, codes)
}

/// The `index`-th half-precision numbers of a chunk.
#[inline(always)]
unsafe fn halves(chunk: *const u8, index: usize) -> __m256 {
    _mm256_cvtph_ps(_mm_loadu_si128(chunk.add(16 * index).cast()))
}

#[inline(always)]
unsafe fn unsigned_bytes(at: *const u8) -> __m256i {
    _mm256_cvtepu8_epi32(_mm_loadl_epi64(at.cast()))
}

#[inline(always)]
unsafe fn unsigned(at: *const u8) -> __m256 {
    _mm256_cvtepi32_ps(unsigned_bytes(at))
}

#[inline(always)]
unsafe fn signed(at: *const u8) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(at.cast())))
}

/// Scale times a constant: the offset of codes that are centred at it.
#[inline(always)]
unsafe fn centred(scale: __m256, offset: f32) -> __m256 {
    _mm256_mul_ps(scale, _mm256_set1_ps(-offset))
}

#[inline(always)]
unsafe fn minus(value: __m256) -> __m256 {
    _mm256_xor_ps(value, _mm256_set1_ps(-0.0))
}

macro_rules! formats {
    ($($name:ident = $format:ident {
        $($setting:ident: $value:expr,)*
        |$chunk:ident, $sub:ident, $i:ident| codes $codes:block
        scale $scale:block
        |$got:ident| offset $offset:block
    })*) => {$(
        pub(super) struct $name;

        // Each format reads what it needs of its arguments.
        #[allow(unused_variables)]
        impl Format for $name {
            const FORMAT: BlockFormat = BlockFormat::$format;
            $(const $setting: formats!(@type $setting) = $value;)*

            #[inline(always)]
            unsafe fn codes($chunk: *const u8, $sub: usize, $i: usize) -> __m256i $codes

            #[inline(always)]
            unsafe fn scale($chunk: *const u8, $sub: usize, $i: usize) -> __m256 $scale

            #[inline(always)]
            unsafe fn offset($chunk: *const u8, $sub: usize, $i: usize, $got: __m256) -> __m256 $offset
        }
    )*};
    (@type SUMS_IN_16_BITS) => { usize };
    (@type $flag:ident) => { bool };
}

/// E2M1, doubled and centred at 12: codes from 0 to 24.
const E2M1_CENTRED: [i8; 16] = {
    let mut table = E2M1_DOUBLED;
    let mut i = 0;
    while i < 16 {
        table[i] += 12;
        i += 1;
    }
    table
};

formats! {
    Q4_0 = Q4_0 {
        SUMS_IN_16_BITS: 8,
        |chunk, sub, i| codes { nibbles::<Self>(chunk, 0, i) }
        scale { halves(chunk, 0) }
        |scale| offset { centred(scale, 8.0) }
    }
    Q4_1 = Q4_1 {
        SUMS_IN_16_BITS: 8,
        |chunk, sub, i| codes { nibbles::<Self>(chunk, 0, i) }
        scale { halves(chunk, 0) }
        |scale| offset { halves(chunk, 1) }
    }
    Q5_0 = Q5_0 {
        SUMS_IN_16_BITS: 4,
        |chunk, sub, i| codes {
            joined::<4>(nibbles::<Self>(chunk, 0, i), fifth_bit::<Self>(chunk, i))
        }
        scale { halves(chunk, 0) }
        |scale| offset { centred(scale, 16.0) }
    }
    Q5_1 = Q5_1 {
        SUMS_IN_16_BITS: 4,
        |chunk, sub, i| codes {
            joined::<4>(nibbles::<Self>(chunk, 0, i), fifth_bit::<Self>(chunk, i))
        }
        scale { halves(chunk, 0) }
        |scale| offset { halves(chunk, 1) }
    }
    Q8_0 = Q8_0 {
        SIGNED: true,
        OFFSET: false,
        |chunk, sub, i| codes { word::<Self>(chunk, i) }
        scale { halves(chunk, 0) }
        |scale| offset { scale }
    }
    Iq4Nl = IQ4NL {
        SIGNED: true,
        OFFSET: false,
        |chunk, sub, i| codes { looked_up(nibbles::<Self>(chunk, 0, i), &IQ4_VALUES) }
        scale { halves(chunk, 0) }
        |scale| offset { scale }
    }
    Iq4Xs = IQ4XS {
        SIGNED: true,
        OFFSET: false,
        |chunk, sub, i| codes { looked_up(nibbles::<Self>(chunk, 4 * sub, i), &IQ4_VALUES) }
        scale { _mm256_mul_ps(halves(chunk, 0), signed(chunk.add(16 + 8 * sub))) }
        |scale| offset { scale }
    }
    Mxfp4 = MXFP4 {
        SUMS_IN_16_BITS: 4,
        |chunk, sub, i| codes { looked_up(nibbles::<Self>(chunk, 0, i), &E2M1_CENTRED) }
        scale {
            // 2^(e - 128): exponents below 2 give subnormal numbers.
            let e = unsigned_bytes(chunk);
            let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
            let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
            let small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
            _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small))
        }
        |scale| offset { centred(scale, 12.0) }
    }
    Q2K = Q2K {
        SUMS_IN_16_BITS: 4,
        SIXTEENTHS: true,
        |chunk, sub, i| codes { two_bits::<Self>(chunk, 0, sub, i) }
        scale {
            let both = unsigned_bytes(chunk.add(32 + 8 * (2 * sub + i)));
            let scale = _mm256_and_si256(both, _mm256_set1_epi32(0x0f));
            _mm256_mul_ps(halves(chunk, 0), _mm256_cvtepi32_ps(scale))
        }
        |scale| offset {
            let both = unsigned_bytes(chunk.add(32 + 8 * (2 * sub + i)));
            let minimum = _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(both));
            _mm256_mul_ps(minus(halves(chunk, 1)), minimum)
        }
    }
    Q3K = Q3K {
        SUMS_IN_16_BITS: 4,
        SIXTEENTHS: true,
        |chunk, sub, i| codes {
            joined::<2>(two_bits::<Self>(chunk, 0, sub, i), one_bit::<Self>(chunk, 16, sub, i))
        }
        scale { _mm256_mul_ps(halves(chunk, 0), signed(chunk.add(16 + 8 * (2 * sub + i)))) }
        |scale| offset { centred(scale, 4.0) }
    }
    Q4K = Q4K {
        SUMS_IN_16_BITS: 8,
        |chunk, sub, i| codes { k_nibbles::<Self>(chunk, sub, i) }
        scale { _mm256_mul_ps(halves(chunk, 0), unsigned(chunk.add(32 + 8 * sub))) }
        |scale| offset {
            _mm256_mul_ps(minus(halves(chunk, 1)), unsigned(chunk.add(96 + 8 * sub)))
        }
    }
    Q5K = Q5K {
        SUMS_IN_16_BITS: 4,
        |chunk, sub, i| codes {
            joined::<4>(k_nibbles::<Self>(chunk, sub, i), one_bit::<Self>(chunk, 32, sub, i))
        }
        scale { _mm256_mul_ps(halves(chunk, 0), unsigned(chunk.add(32 + 8 * sub))) }
        |scale| offset {
            _mm256_mul_ps(minus(halves(chunk, 1)), unsigned(chunk.add(96 + 8 * sub)))
        }
    }
    Q6K = Q6K {
        SUMS_IN_16_BITS: 2,
        SIXTEENTHS: true,
        |chunk, sub, i| codes {
            // Two sub-blocks in the low nibbles of 64 bytes, the next two in their high ones.
            let low = word::<Self>(chunk, sub / 4 * 16 + sub % 2 * 8 + i);
            let low = bits(low, sub % 4 / 2 * 4, 0x0f);
            joined::<4>(low, two_bits::<Self>(chunk, 32, sub, i))
        }
        scale { _mm256_mul_ps(halves(chunk, 0), signed(chunk.add(16 + 8 * (2 * sub + i)))) }
        |scale| offset { centred(scale, 32.0) }
    }
}

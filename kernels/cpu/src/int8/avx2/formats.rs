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

/// The codes of 32 values of eight rows: vector `s` holds values `4 s .. 4 s + 4` of each row.
pub(super) type Codes = [__m256i; 8];

/// A packed format.
pub(super) trait Format {
    /// Which.
    const FORMAT: BlockFormat;
    /// Codes are signed bytes; else they are unsigned and small.
    const SIGNED: bool = false;
    /// How many products of (unsigned) code pairs and activations can be added in 16 bits:
    /// the largest n with `2 × 127 × largest code × n < 2^15`, as a power of two.
    const SUMS_IN_16_BITS: usize = 1;
    /// Scales and offsets are for 16 values each; else for 32.
    const SIXTEENTHS: bool = false;
    /// Values have an offset.
    const OFFSET: bool = true;

    /// Codes of the `sub`-th 32 values.
    unsafe fn codes(chunk: *const u8, sub: usize) -> Codes;
    /// Scales of eight rows, for the first and the second 16 of the `sub`-th 32 values.
    unsafe fn scales(chunk: *const u8, sub: usize) -> [__m256; 2];
    /// Offsets of the same, where there are any; `scales` are what [`scales`](Self::scales) gave.
    unsafe fn offsets(chunk: *const u8, sub: usize, scales: [__m256; 2]) -> [__m256; 2];
}

pub(super) const fn layout<F: Format>() -> Layout {
    match Layout::of(F::FORMAT) {
        Some(layout) => layout,
        None => panic!("a packed format"),
    }
}

/// The words of a chunk, 32 bytes each.
#[inline(always)]
unsafe fn word<F: Format>(chunk: *const u8, index: usize) -> __m256i {
    _mm256_loadu_si256(chunk.add(layout::<F>().header + 32 * index).cast())
}

/// An array of what the expression gives for 0 to 7 (or 0 and 1). Written out instead of
/// `array::from_fn`, whose closure would have to be inlined for the instructions to be.
macro_rules! each {
    ($i:ident in 8 => $value:expr) => {
        each!(@ $i, $value, 0 1 2 3 4 5 6 7)
    };
    ($i:ident in 2 => $value:expr) => {
        each!(@ $i, $value, 0 1)
    };
    (@ $i:ident, $value:expr, $($n:literal)*) => {
        [$({
            const $i: usize = $n;
            $value
        }),*]
    };
}

/// The bits of `mask` in each byte, after a shift to the right.
#[inline(always)]
unsafe fn bits(word: __m256i, shift: usize, mask: i8) -> __m256i {
    let shifted = _mm256_srl_epi16(word, _mm_cvtsi32_si128(shift as i32));
    _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
}

/// The bits of `mask` in each byte, after a shift to the left.
#[inline(always)]
unsafe fn bits_left(word: __m256i, shift: usize, mask: i8) -> __m256i {
    let shifted = _mm256_sll_epi16(word, _mm_cvtsi32_si128(shift as i32));
    _mm256_and_si256(shifted, _mm256_set1_epi8(mask))
}

/// Sixteen bytes per row whose low nibbles come before their high ones.
#[inline(always)]
unsafe fn nibbles<F: Format>(chunk: *const u8, first: usize) -> Codes {
    each!(S in 8 => bits(word::<F>(chunk, first + S % 4), S / 4 * 4, 0x0f))
}

/// 32 bytes per row whose low nibbles are one sub-block and whose high ones the next.
#[inline(always)]
unsafe fn k_nibbles<F: Format>(chunk: *const u8, sub: usize) -> Codes {
    each!(S in 8 => bits(word::<F>(chunk, sub / 2 * 8 + S), sub % 2 * 4, 0x0f))
}

/// 32 bytes per row that are four sub-blocks of two bits, from word `first` on.
#[inline(always)]
unsafe fn two_bits<F: Format>(chunk: *const u8, first: usize, sub: usize) -> Codes {
    each!(S in 8 => bits(word::<F>(chunk, first + sub / 4 * 8 + S), sub % 4 * 2, 3))
}

/// Two sets of bits in one byte, the second moved up by `PLACE`.
#[inline(always)]
unsafe fn joined<const PLACE: i32>(low: Codes, high: Codes) -> Codes {
    each!(S in 8 => _mm256_or_si256(low[S], _mm256_slli_epi16::<PLACE>(high[S])))
}

/// One bit per value and sub-block, from word `first` on.
#[inline(always)]
unsafe fn one_bit<F: Format>(chunk: *const u8, first: usize, sub: usize) -> Codes {
    each!(S in 8 => bits(word::<F>(chunk, first + S), sub, 1))
}

/// The fifth bits of Q5_0 and Q5_1, added.
#[inline(always)]
unsafe fn fifth_bits<F: Format>(codes: Codes, chunk: *const u8) -> Codes {
    let high = word::<F>(chunk, 4);
    each!(S in 8 => {
        let bit = if S < 4 {
            bits_left(high, 4 - S % 4, 0x10)
        } else {
            bits(high, S % 4, 0x10)
        };
        _mm256_or_si256(codes[S], bit)
    })
}

/// Nibbles looked up in a table of sixteen bytes.
#[inline(always)]
unsafe fn looked_up(codes: Codes, table: &[i8; 16]) -> Codes {
    let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
    each!(S in 8 => _mm256_shuffle_epi8(table, codes[S]))
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

#[inline(always)]
fn both(value: __m256) -> [__m256; 2] {
    [value, value]
}

/// Scales times a constant: the offset of codes that are centred at it.
#[inline(always)]
unsafe fn centred(scales: [__m256; 2], offset: f32) -> [__m256; 2] {
    each!(HALF in 2 => _mm256_mul_ps(scales[HALF], _mm256_set1_ps(-offset)))
}

macro_rules! formats {
    ($($name:ident = $format:ident {
        $($setting:ident: $value:expr,)*
        |$chunk:ident, $sub:ident| codes $codes:block
        scales $scales:block
        |$got:ident| offsets $offsets:block
    })*) => {$(
        pub(super) struct $name;

        // Each format reads what it needs of its arguments.
        #[allow(unused_variables)]
        impl Format for $name {
            const FORMAT: BlockFormat = BlockFormat::$format;
            $(const $setting: formats!(@type $setting) = $value;)*

            #[inline(always)]
            unsafe fn codes($chunk: *const u8, $sub: usize) -> Codes {
                $codes
            }

            #[inline(always)]
            unsafe fn scales($chunk: *const u8, $sub: usize) -> [__m256; 2] {
                $scales
            }

            #[inline(always)]
            unsafe fn offsets($chunk: *const u8, $sub: usize, $got: [__m256; 2]) -> [__m256; 2] {
                $offsets
            }
        }
    )*};
    (@type SUMS_IN_16_BITS) => { usize };
    (@type $flag:ident) => { bool };
}

formats! {
    Q4_0 = Q4_0 {
        SUMS_IN_16_BITS: 8,
        |chunk, sub| codes { nibbles::<Self>(chunk, 0) }
        scales { both(halves(chunk, 0)) }
        |scales| offsets { centred(scales, 8.0) }
    }
    Q4_1 = Q4_1 {
        SUMS_IN_16_BITS: 8,
        |chunk, sub| codes { nibbles::<Self>(chunk, 0) }
        scales { both(halves(chunk, 0)) }
        |scales| offsets { both(halves(chunk, 1)) }
    }
    Q5_0 = Q5_0 {
        SUMS_IN_16_BITS: 4,
        |chunk, sub| codes { fifth_bits::<Self>(nibbles::<Self>(chunk, 0), chunk) }
        scales { both(halves(chunk, 0)) }
        |scales| offsets { centred(scales, 16.0) }
    }
    Q5_1 = Q5_1 {
        SUMS_IN_16_BITS: 4,
        |chunk, sub| codes { fifth_bits::<Self>(nibbles::<Self>(chunk, 0), chunk) }
        scales { both(halves(chunk, 0)) }
        |scales| offsets { both(halves(chunk, 1)) }
    }
    Q8_0 = Q8_0 {
        SIGNED: true,
        OFFSET: false,
        |chunk, sub| codes { each!(S in 8 => word::<Self>(chunk, S)) }
        scales { both(halves(chunk, 0)) }
        |scales| offsets { scales }
    }
    Iq4Nl = IQ4NL {
        SIGNED: true,
        OFFSET: false,
        |chunk, sub| codes { looked_up(nibbles::<Self>(chunk, 0), &IQ4_VALUES) }
        scales { both(halves(chunk, 0)) }
        |scales| offsets { scales }
    }
    Iq4Xs = IQ4XS {
        SIGNED: true,
        OFFSET: false,
        |chunk, sub| codes { looked_up(nibbles::<Self>(chunk, 4 * sub), &IQ4_VALUES) }
        scales { both(_mm256_mul_ps(halves(chunk, 0), signed(chunk.add(16 + 8 * sub)))) }
        |scales| offsets { scales }
    }
    Mxfp4 = MXFP4 {
        SUMS_IN_16_BITS: 4,
        |chunk, sub| codes {
            // Centred at 12, so that codes are 0 to 24.
            const CENTRED: [i8; 16] = {
                let mut table = E2M1_DOUBLED;
                let mut i = 0;
                while i < 16 {
                    table[i] += 12;
                    i += 1;
                }
                table
            };
            looked_up(nibbles::<Self>(chunk, 0), &CENTRED)
        }
        scales {
            // 2^(e - 128): exponents below 2 give subnormal numbers.
            let e = unsigned_bytes(chunk);
            let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
            let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
            let small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
            both(_mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small)))
        }
        |scales| offsets { centred(scales, 12.0) }
    }
    Q2K = Q2K {
        SUMS_IN_16_BITS: 4,
        SIXTEENTHS: true,
        |chunk, sub| codes { two_bits::<Self>(chunk, 0, sub) }
        scales {
            let d = halves(chunk, 0);
            each!(HALF in 2 => {
                let both = unsigned_bytes(chunk.add(32 + 8 * (2 * sub + HALF)));
                let scale = _mm256_and_si256(both, _mm256_set1_epi32(0x0f));
                _mm256_mul_ps(d, _mm256_cvtepi32_ps(scale))
            })
        }
        |scales| offsets {
            let minus_dmin = _mm256_xor_ps(halves(chunk, 1), _mm256_set1_ps(-0.0));
            each!(HALF in 2 => {
                let both = unsigned_bytes(chunk.add(32 + 8 * (2 * sub + HALF)));
                _mm256_mul_ps(minus_dmin, _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(both)))
            })
        }
    }
    Q3K = Q3K {
        SUMS_IN_16_BITS: 4,
        SIXTEENTHS: true,
        |chunk, sub| codes { joined::<2>(two_bits::<Self>(chunk, 0, sub), one_bit::<Self>(chunk, 16, sub)) }
        scales {
            let d = halves(chunk, 0);
            each!(HALF in 2 => _mm256_mul_ps(d, signed(chunk.add(16 + 8 * (2 * sub + HALF)))))
        }
        |scales| offsets { centred(scales, 4.0) }
    }
    Q4K = Q4K {
        SUMS_IN_16_BITS: 8,
        |chunk, sub| codes { k_nibbles::<Self>(chunk, sub) }
        scales { both(_mm256_mul_ps(halves(chunk, 0), unsigned(chunk.add(32 + 8 * sub)))) }
        |scales| offsets {
            let minus_dmin = _mm256_xor_ps(halves(chunk, 1), _mm256_set1_ps(-0.0));
            both(_mm256_mul_ps(minus_dmin, unsigned(chunk.add(96 + 8 * sub))))
        }
    }
    Q5K = Q5K {
        SUMS_IN_16_BITS: 4,
        |chunk, sub| codes { joined::<4>(k_nibbles::<Self>(chunk, sub), one_bit::<Self>(chunk, 32, sub)) }
        scales { both(_mm256_mul_ps(halves(chunk, 0), unsigned(chunk.add(32 + 8 * sub)))) }
        |scales| offsets {
            let minus_dmin = _mm256_xor_ps(halves(chunk, 1), _mm256_set1_ps(-0.0));
            both(_mm256_mul_ps(minus_dmin, unsigned(chunk.add(96 + 8 * sub))))
        }
    }
    Q6K = Q6K {
        SUMS_IN_16_BITS: 2,
        SIXTEENTHS: true,
        |chunk, sub| codes {
            // Two sub-blocks in the low nibbles of 64 bytes, the next two in their high ones.
            let first = sub / 4 * 16 + sub % 2 * 8;
            let low = each!(S in 8 => bits(word::<Self>(chunk, first + S), sub % 4 / 2 * 4, 0x0f));
            joined::<4>(low, two_bits::<Self>(chunk, 32, sub))
        }
        scales {
            let d = halves(chunk, 0);
            each!(HALF in 2 => _mm256_mul_ps(d, signed(chunk.add(16 + 8 * (2 * sub + HALF)))))
        }
        |scales| offsets { centred(scales, 32.0) }
    }
}

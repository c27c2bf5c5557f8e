//! What each format's packed chunks say: codes, scales and offsets as vectors.
//!
//! Every function here is unsafe for the same two reasons, which callers take care of: it is inlined
//! into a function that has the instructions enabled, and the pointer is to a whole chunk (or to
//! sixteen scales in its header).
#![allow(unsafe_op_in_unsafe_fn, clippy::missing_safety_doc)]

use std::arch::x86_64::*;

use crate::BlockFormat;
use crate::int8::layout::{Layout, WIDE_PANEL};
use crate::scalar::{E2M1_DOUBLED, IQ4_VALUES};

/// A packed format: `value = scale × (code - centre) + offset`.
pub(super) trait Format {
    /// Which.
    const FORMAT: BlockFormat;
    /// Where things are in its chunks.
    const LAYOUT: Layout = match Layout::in_panels(Self::FORMAT, WIDE_PANEL) {
        Some(layout) => layout,
        None => panic!("a packed format"),
    };
    /// Two to this power is the centre, but 0 means that there is none, and an offset instead. What a
    /// centre takes from a sum is a whole number, so that nothing is rounded.
    const CENTRE_LOG2: i32 = 0;
    /// Scales and offsets are for 16 values each; else for 32.
    const SIXTEENTHS: bool = false;

    /// Codes of values `4 s .. 4 s + 4` of the `sub`-th 32, for each of sixteen rows: unsigned.
    ///
    /// One vector at a time: an array of eight would not stay in registers.
    unsafe fn codes(chunk: *const u8, sub: usize, s: usize) -> __m512i;
    /// Scales of sixteen rows, for a half of the `sub`-th 32 values.
    unsafe fn scale(chunk: *const u8, sub: usize, half: usize) -> __m512;
    /// Offsets of the same, where there are any.
    unsafe fn offset(chunk: *const u8, sub: usize, half: usize) -> __m512;
}

/// The words of a chunk, 64 bytes each.
#[inline(always)]
unsafe fn word<F: Format>(chunk: *const u8, index: usize) -> __m512i {
    _mm512_loadu_si512(chunk.add(F::LAYOUT.header + 64 * index).cast())
}

/// The bits of `mask` in each byte, after a shift to the right.
#[inline(always)]
unsafe fn bits(word: __m512i, shift: usize, mask: i8) -> __m512i {
    let shifted = _mm512_srl_epi16(word, _mm_cvtsi32_si128(shift as i32));
    _mm512_and_si512(shifted, _mm512_set1_epi8(mask))
}

/// Sixteen bytes per row, from word `first` on, whose low nibbles come before their high ones.
#[inline(always)]
unsafe fn nibbles<F: Format>(chunk: *const u8, first: usize, s: usize) -> __m512i {
    bits(word::<F>(chunk, first + s % 4), s / 4 * 4, 0x0f)
}

/// 32 bytes per row that are several sub-blocks, from word `first` on: the bits of one, left where
/// they are, so that the codes are too large by a power of two. It goes [`below`] the scale.
#[inline(always)]
unsafe fn in_place<F: Format>(chunk: *const u8, first: usize, s: usize, mask: u8) -> __m512i {
    let word = word::<F>(chunk, first + s);
    _mm512_and_si512(word, _mm512_set1_epi8(mask.cast_signed()))
}

/// 32 bytes per row whose low nibbles are one sub-block and whose high ones the next.
#[inline(always)]
unsafe fn k_nibbles<F: Format>(chunk: *const u8, sub: usize, s: usize) -> __m512i {
    bits(word::<F>(chunk, sub / 2 * 8 + s), sub % 2 * 4, 0x0f)
}

/// 32 bytes per row that are four sub-blocks of two bits.
#[inline(always)]
unsafe fn two_bits<F: Format>(chunk: *const u8, sub: usize, s: usize) -> __m512i {
    bits(word::<F>(chunk, sub / 4 * 8 + s), sub % 4 * 2, 3)
}

/// The bits of `mask`, moved from bit `from` of each byte to the lowest of `mask`, beside others.
#[inline(always)]
unsafe fn joined(others: __m512i, word: __m512i, from: usize, mask: i8) -> __m512i {
    // By a rotation of 32 bits in either direction; what comes from another byte is not in the mask.
    let left = (mask.trailing_zeros() as i32 - from as i32) & 31;
    let moved = _mm512_rolv_epi32(word, _mm512_set1_epi32(left));
    _mm512_or_si512(others, _mm512_and_si512(moved, _mm512_set1_epi8(mask)))
}

/// The nibbles of Q5_0 and Q5_1 with their fifth bits: bit `s` of each byte of word 4.
#[inline(always)]
unsafe fn five_bits<F: Format>(chunk: *const u8, s: usize) -> __m512i {
    joined(nibbles::<F>(chunk, 0, s), word::<F>(chunk, 4), s, 0x10)
}

/// Nibbles looked up in a table of sixteen bytes.
#[inline(always)]
unsafe fn looked_up(codes: __m512i, table: &[u8; 16]) -> __m512i {
    let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
    _mm512_shuffle_epi8(table, codes)
}

/// The `index`-th half-precision numbers of a chunk.
#[inline(always)]
unsafe fn halves(chunk: *const u8, index: usize) -> __m512 {
    _mm512_cvtph_ps(_mm256_loadu_si256(chunk.add(32 * index).cast()))
}

/// The `index`-th bytes behind so many halves.
#[inline(always)]
unsafe fn unsigned_bytes(chunk: *const u8, n_halves: usize, index: usize) -> __m512i {
    _mm512_cvtepu8_epi32(_mm_loadu_si128(
        chunk.add(32 * n_halves + 16 * index).cast(),
    ))
}

#[inline(always)]
unsafe fn unsigned(chunk: *const u8, n_halves: usize, index: usize) -> __m512 {
    _mm512_cvtepi32_ps(unsigned_bytes(chunk, n_halves, index))
}

#[inline(always)]
unsafe fn signed(chunk: *const u8, n_halves: usize, index: usize) -> __m512 {
    let bytes = _mm_loadu_si128(chunk.add(32 * n_halves + 16 * index).cast());
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
}

/// `2^-shift`: what the scale of codes is multiplied with that were left `shift` bits too high.
#[inline(always)]
unsafe fn below(shift: usize) -> __m512 {
    _mm512_set1_ps(f32::from_bits((127 - shift as u32) << 23))
}

#[inline(always)]
unsafe fn minus(value: __m512) -> __m512 {
    _mm512_xor_ps(value, _mm512_set1_ps(-0.0))
}

/// A table of signed numbers, all moved up.
const fn moved(table: [i8; 16], up: u8) -> [u8; 16] {
    let mut moved = [0; 16];
    let mut i = 0;
    while i < 16 {
        moved[i] = up.wrapping_add(table[i] as u8);
        i += 1;
    }
    moved
}

const IQ4_CENTRED: [u8; 16] = moved(IQ4_VALUES, 128);
const E2M1_CENTRED: [u8; 16] = moved(E2M1_DOUBLED, 16);

macro_rules! formats {
    ($($name:ident = $format:ident {
        $($setting:ident: $value:expr,)*
        |$chunk:ident, $sub:ident, $i:ident| codes $codes:block
        scale $scale:block
        $(offset $offset:block)?
    })*) => {$(
        pub(super) struct $name;

        // Each format reads what it needs of its arguments.
        #[allow(unused_variables)]
        impl Format for $name {
            const FORMAT: BlockFormat = BlockFormat::$format;
            $(const $setting: formats!(@type $setting) = $value;)*

            #[inline(always)]
            unsafe fn codes($chunk: *const u8, $sub: usize, $i: usize) -> __m512i $codes

            #[inline(always)]
            unsafe fn scale($chunk: *const u8, $sub: usize, $i: usize) -> __m512 $scale

            #[inline(always)]
            unsafe fn offset($chunk: *const u8, $sub: usize, $i: usize) -> __m512 {
                formats!(@or_zero $($offset)?)
            }
        }
    )*};
    (@type CENTRE_LOG2) => { i32 };
    (@type $flag:ident) => { bool };
    (@or_zero) => { _mm512_setzero_ps() };
    (@or_zero $offset:block) => { $offset };
}

formats! {
    Q4_0 = Q4_0 {
        CENTRE_LOG2: 3,
        |chunk, sub, i| codes { nibbles::<Self>(chunk, 0, i) }
        scale { halves(chunk, 0) }
    }
    Q4_1 = Q4_1 {
        |chunk, sub, i| codes { nibbles::<Self>(chunk, 0, i) }
        scale { halves(chunk, 0) }
        offset { halves(chunk, 1) }
    }
    Q5_0 = Q5_0 {
        CENTRE_LOG2: 4,
        |chunk, sub, i| codes { five_bits::<Self>(chunk, i) }
        scale { halves(chunk, 0) }
    }
    Q5_1 = Q5_1 {
        |chunk, sub, i| codes { five_bits::<Self>(chunk, i) }
        scale { halves(chunk, 0) }
        offset { halves(chunk, 1) }
    }
    Q8_0 = Q8_0 {
        CENTRE_LOG2: 7,
        |chunk, sub, i| codes {
            _mm512_xor_si512(word::<Self>(chunk, i), _mm512_set1_epi8(-128))
        }
        scale { halves(chunk, 0) }
    }
    Iq4Nl = IQ4NL {
        CENTRE_LOG2: 7,
        |chunk, sub, i| codes { looked_up(nibbles::<Self>(chunk, 0, i), &IQ4_CENTRED) }
        scale { halves(chunk, 0) }
    }
    Iq4Xs = IQ4XS {
        CENTRE_LOG2: 7,
        |chunk, sub, i| codes { looked_up(nibbles::<Self>(chunk, 4 * sub, i), &IQ4_CENTRED) }
        scale { _mm512_mul_ps(halves(chunk, 0), signed(chunk, 1, sub)) }
    }
    Mxfp4 = MXFP4 {
        CENTRE_LOG2: 4,
        |chunk, sub, i| codes { looked_up(nibbles::<Self>(chunk, 0, i), &E2M1_CENTRED) }
        scale {
            // 2^(e - 128): exponents below 2 give subnormal numbers.
            let e = unsigned_bytes(chunk, 0, 0);
            let normal = _mm512_slli_epi32::<23>(_mm512_sub_epi32(e, _mm512_set1_epi32(1)));
            let subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x0020_0000), e);
            let small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
            _mm512_castsi512_ps(_mm512_mask_blend_epi32(small, normal, subnormal))
        }
    }
    Q2K = Q2K {
        SIXTEENTHS: true,
        |chunk, sub, i| codes { in_place::<Self>(chunk, sub / 4 * 8, i, 3 << (sub % 4 * 2)) }
        scale {
            let both = unsigned_bytes(chunk, 2, 2 * sub + i);
            let scale = _mm512_and_si512(both, _mm512_set1_epi32(0x0f));
            let scale = _mm512_mul_ps(halves(chunk, 0), _mm512_cvtepi32_ps(scale));
            _mm512_mul_ps(scale, below(sub % 4 * 2))
        }
        offset {
            let both = unsigned_bytes(chunk, 2, 2 * sub + i);
            let minimum = _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(both));
            _mm512_mul_ps(minus(halves(chunk, 1)), minimum)
        }
    }
    Q3K = Q3K {
        CENTRE_LOG2: 2,
        SIXTEENTHS: true,
        |chunk, sub, i| codes {
            joined(two_bits::<Self>(chunk, sub, i), word::<Self>(chunk, 16 + i), sub, 4)
        }
        scale { _mm512_mul_ps(halves(chunk, 0), signed(chunk, 1, 2 * sub + i)) }
    }
    Q4K = Q4K {
        |chunk, sub, i| codes { in_place::<Self>(chunk, sub / 2 * 8, i, 0x0f << (sub % 2 * 4)) }
        scale {
            let scale = _mm512_mul_ps(halves(chunk, 0), unsigned(chunk, 2, sub));
            _mm512_mul_ps(scale, below(sub % 2 * 4))
        }
        offset { _mm512_mul_ps(minus(halves(chunk, 1)), unsigned(chunk, 2, 8 + sub)) }
    }
    Q5K = Q5K {
        |chunk, sub, i| codes {
            joined(k_nibbles::<Self>(chunk, sub, i), word::<Self>(chunk, 32 + i), sub, 0x10)
        }
        scale { _mm512_mul_ps(halves(chunk, 0), unsigned(chunk, 2, sub)) }
        offset { _mm512_mul_ps(minus(halves(chunk, 1)), unsigned(chunk, 2, 8 + sub)) }
    }
    Q6K = Q6K {
        CENTRE_LOG2: 5,
        SIXTEENTHS: true,
        |chunk, sub, i| codes {
            // Two sub-blocks in the low nibbles of 64 bytes, the next two in their high ones.
            let low = word::<Self>(chunk, sub / 4 * 16 + sub % 2 * 8 + i);
            let low = bits(low, sub % 4 / 2 * 4, 0x0f);
            // The upper two bits are four sub-blocks in 32 bytes.
            let high = word::<Self>(chunk, 32 + sub / 4 * 8 + i);
            joined(low, high, sub % 4 * 2, 0x30)
        }
        scale { _mm512_mul_ps(halves(chunk, 0), signed(chunk, 1, 2 * sub + i)) }
    }
}

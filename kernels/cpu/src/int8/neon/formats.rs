//! What each format's packed chunks say: codes, scales and offsets as vectors.
//!
//! Every function here is unsafe for the same two reasons, which callers take care of: it is inlined
//! into a function that has NEON enabled, and the pointer is to a whole chunk (or to eight scales
//! in its header).
#![allow(unsafe_op_in_unsafe_fn, clippy::missing_safety_doc)]

use std::arch::aarch64::*;

use crate::BlockFormat;
use crate::int8::layout::Layout;
use crate::scalar::{E2M1_DOUBLED, IQ4_VALUES};

/// Four rows of a panel, in one chunk.
#[derive(Clone, Copy)]
pub(in crate::int8) struct FourRows {
    pub(super) chunk: *const u8,
    /// The first four or the second.
    pub(super) which: usize,
}

/// A packed format.
pub(in crate::int8) trait Format {
    /// Which.
    const FORMAT: BlockFormat;
    /// Where things are in its chunks.
    const LAYOUT: Layout = match Layout::of(Self::FORMAT) {
        Some(layout) => layout,
        None => panic!("a packed format"),
    };
    /// Scales and offsets are for 16 values each; else for 32.
    const SIXTEENTHS: bool = false;
    /// Values have an offset.
    const OFFSET: bool = true;

    /// Codes of values `4 s .. 4 s + 4` of the `sub`-th 32, for each of four rows. Where they are
    /// unsigned they are so small that it makes no difference.
    unsafe fn codes(rows: FourRows, sub: usize, s: usize) -> int8x16_t;
    /// Scales of four rows, for a half of the `sub`-th 32 values.
    unsafe fn scale(rows: FourRows, sub: usize, half: usize) -> float32x4_t;
    /// Offsets of the same, where there are any; `scale` is what [`scale`](Self::scale) gave.
    unsafe fn offset(rows: FourRows, sub: usize, half: usize, scale: float32x4_t) -> float32x4_t;
}

/// The words of a chunk, 16 bytes of these rows each.
#[inline(always)]
unsafe fn word<F: Format>(rows: FourRows, index: usize) -> uint8x16_t {
    let at = F::LAYOUT.header + 32 * index + 16 * rows.which;
    vld1q_u8(rows.chunk.add(at))
}

/// The bits of `mask` in each byte, after a shift to the right.
#[inline(always)]
unsafe fn bits(word: uint8x16_t, shift: usize, mask: u8) -> uint8x16_t {
    let shifted = vshlq_u8(word, vdupq_n_s8(-(shift as i8)));
    vandq_u8(shifted, vdupq_n_u8(mask))
}

/// Sixteen bytes per row, from word `first` on, whose low nibbles come before their high ones.
#[inline(always)]
unsafe fn nibbles<F: Format>(rows: FourRows, first: usize, s: usize) -> uint8x16_t {
    bits(word::<F>(rows, first + s % 4), s / 4 * 4, 0x0f)
}

/// 32 bytes per row whose low nibbles are one sub-block and whose high ones the next.
#[inline(always)]
unsafe fn k_nibbles<F: Format>(rows: FourRows, sub: usize, s: usize) -> uint8x16_t {
    bits(word::<F>(rows, sub / 2 * 8 + s), sub % 2 * 4, 0x0f)
}

/// 32 bytes per row that are four sub-blocks of two bits, from word `first` on.
#[inline(always)]
unsafe fn two_bits<F: Format>(rows: FourRows, first: usize, sub: usize, s: usize) -> uint8x16_t {
    bits(word::<F>(rows, first + sub / 4 * 8 + s), sub % 4 * 2, 3)
}

/// One bit per value and sub-block, from word `first` on.
#[inline(always)]
unsafe fn one_bit<F: Format>(rows: FourRows, first: usize, sub: usize, s: usize) -> uint8x16_t {
    bits(word::<F>(rows, first + s), sub, 1)
}

/// The fifth bits of Q5_0 and Q5_1: bit `s` of each byte of word 4.
#[inline(always)]
unsafe fn fifth_bit<F: Format>(rows: FourRows, s: usize) -> uint8x16_t {
    bits(word::<F>(rows, 4), s, 1)
}

/// Two sets of bits in one byte, the second moved up by `PLACE`.
#[inline(always)]
unsafe fn joined<const PLACE: i32>(low: uint8x16_t, high: uint8x16_t) -> int8x16_t {
    signed_bytes(vsliq_n_u8::<PLACE>(low, high))
}

#[inline(always)]
unsafe fn signed_bytes(codes: uint8x16_t) -> int8x16_t {
    vreinterpretq_s8_u8(codes)
}

/// Nibbles looked up in a table of sixteen bytes.
#[inline(always)]
unsafe fn looked_up(codes: uint8x16_t, table: &[i8; 16]) -> int8x16_t {
    vqtbl1q_s8(vld1q_s8(table.as_ptr()), codes)
}

/// The `index`-th half-precision numbers of a chunk.
#[inline(always)]
unsafe fn halves(rows: FourRows, index: usize) -> float32x4_t {
    let bytes = vld1_u8(rows.chunk.add(16 * index + 8 * rows.which));
    vcvt_f32_f16(vreinterpret_f16_u8(bytes))
}

/// One byte of each row, from eight of them at a place in the header.
#[inline(always)]
unsafe fn four_bytes(rows: FourRows, at: usize) -> uint8x8_t {
    let at = rows.chunk.add(at + 4 * rows.which);
    vreinterpret_u8_u32(vdup_n_u32(at.cast::<u32>().read_unaligned()))
}

#[inline(always)]
unsafe fn unsigned_words(rows: FourRows, at: usize) -> uint32x4_t {
    vmovl_u16(vget_low_u16(vmovl_u8(four_bytes(rows, at))))
}

#[inline(always)]
unsafe fn unsigned(rows: FourRows, at: usize) -> float32x4_t {
    vcvtq_f32_u32(unsigned_words(rows, at))
}

#[inline(always)]
unsafe fn signed(rows: FourRows, at: usize) -> float32x4_t {
    let bytes = vreinterpret_s8_u8(four_bytes(rows, at));
    vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
}

/// Scale times a constant: the offset of codes that are centred at it.
#[inline(always)]
unsafe fn centred(scale: float32x4_t, offset: f32) -> float32x4_t {
    vmulq_n_f32(scale, -offset)
}

macro_rules! formats {
    ($($name:ident = $format:ident {
        $($setting:ident: $value:expr,)*
        |$rows:ident, $sub:ident, $i:ident| codes $codes:block
        scale $scale:block
        |$got:ident| offset $offset:block
    })*) => {$(
        pub(super) struct $name;

        // Each format reads what it needs of its arguments.
        #[allow(unused_variables)]
        impl Format for $name {
            const FORMAT: BlockFormat = BlockFormat::$format;
            $(const $setting: bool = $value;)*

            #[inline(always)]
            unsafe fn codes($rows: FourRows, $sub: usize, $i: usize) -> int8x16_t $codes

            #[inline(always)]
            unsafe fn scale($rows: FourRows, $sub: usize, $i: usize) -> float32x4_t $scale

            #[inline(always)]
            unsafe fn offset(
                $rows: FourRows,
                $sub: usize,
                $i: usize,
                $got: float32x4_t,
            ) -> float32x4_t $offset
        }
    )*};
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
        |rows, sub, i| codes { signed_bytes(nibbles::<Self>(rows, 0, i)) }
        scale { halves(rows, 0) }
        |scale| offset { centred(scale, 8.0) }
    }
    Q4_1 = Q4_1 {
        |rows, sub, i| codes { signed_bytes(nibbles::<Self>(rows, 0, i)) }
        scale { halves(rows, 0) }
        |scale| offset { halves(rows, 1) }
    }
    Q5_0 = Q5_0 {
        |rows, sub, i| codes {
            joined::<4>(nibbles::<Self>(rows, 0, i), fifth_bit::<Self>(rows, i))
        }
        scale { halves(rows, 0) }
        |scale| offset { centred(scale, 16.0) }
    }
    Q5_1 = Q5_1 {
        |rows, sub, i| codes {
            joined::<4>(nibbles::<Self>(rows, 0, i), fifth_bit::<Self>(rows, i))
        }
        scale { halves(rows, 0) }
        |scale| offset { halves(rows, 1) }
    }
    Q8_0 = Q8_0 {
        OFFSET: false,
        |rows, sub, i| codes { signed_bytes(word::<Self>(rows, i)) }
        scale { halves(rows, 0) }
        |scale| offset { scale }
    }
    Iq4Nl = IQ4NL {
        OFFSET: false,
        |rows, sub, i| codes { looked_up(nibbles::<Self>(rows, 0, i), &IQ4_VALUES) }
        scale { halves(rows, 0) }
        |scale| offset { scale }
    }
    Iq4Xs = IQ4XS {
        OFFSET: false,
        |rows, sub, i| codes { looked_up(nibbles::<Self>(rows, 4 * sub, i), &IQ4_VALUES) }
        scale { vmulq_f32(halves(rows, 0), signed(rows, 16 + 8 * sub)) }
        |scale| offset { scale }
    }
    Mxfp4 = MXFP4 {
        |rows, sub, i| codes { looked_up(nibbles::<Self>(rows, 0, i), &E2M1_CENTRED) }
        scale {
            // 2^(e - 128): exponents below 2 give subnormal numbers.
            let e = unsigned_words(rows, 0);
            let normal = vshlq_n_u32::<23>(vsubq_u32(e, vdupq_n_u32(1)));
            let subnormal = vshlq_u32(vdupq_n_u32(0x0020_0000), vreinterpretq_s32_u32(e));
            let small = vcltq_u32(e, vdupq_n_u32(2));
            vreinterpretq_f32_u32(vbslq_u32(small, subnormal, normal))
        }
        |scale| offset { centred(scale, 12.0) }
    }
    Q2K = Q2K {
        SIXTEENTHS: true,
        |rows, sub, i| codes { signed_bytes(two_bits::<Self>(rows, 0, sub, i)) }
        scale {
            let both = unsigned_words(rows, 32 + 8 * (2 * sub + i));
            let scale = vandq_u32(both, vdupq_n_u32(0x0f));
            vmulq_f32(halves(rows, 0), vcvtq_f32_u32(scale))
        }
        |scale| offset {
            let both = unsigned_words(rows, 32 + 8 * (2 * sub + i));
            let minimum = vcvtq_f32_u32(vshrq_n_u32::<4>(both));
            vmulq_f32(vnegq_f32(halves(rows, 1)), minimum)
        }
    }
    Q3K = Q3K {
        SIXTEENTHS: true,
        |rows, sub, i| codes {
            joined::<2>(two_bits::<Self>(rows, 0, sub, i), one_bit::<Self>(rows, 16, sub, i))
        }
        scale { vmulq_f32(halves(rows, 0), signed(rows, 16 + 8 * (2 * sub + i))) }
        |scale| offset { centred(scale, 4.0) }
    }
    Q4K = Q4K {
        |rows, sub, i| codes { signed_bytes(k_nibbles::<Self>(rows, sub, i)) }
        scale { vmulq_f32(halves(rows, 0), unsigned(rows, 32 + 8 * sub)) }
        |scale| offset { vmulq_f32(vnegq_f32(halves(rows, 1)), unsigned(rows, 96 + 8 * sub)) }
    }
    Q5K = Q5K {
        |rows, sub, i| codes {
            joined::<4>(k_nibbles::<Self>(rows, sub, i), one_bit::<Self>(rows, 32, sub, i))
        }
        scale { vmulq_f32(halves(rows, 0), unsigned(rows, 32 + 8 * sub)) }
        |scale| offset { vmulq_f32(vnegq_f32(halves(rows, 1)), unsigned(rows, 96 + 8 * sub)) }
    }
    Q6K = Q6K {
        SIXTEENTHS: true,
        |rows, sub, i| codes {
            // Two sub-blocks in the low nibbles of 64 bytes, the next two in their high ones.
            let low = word::<Self>(rows, sub / 4 * 16 + sub % 2 * 8 + i);
            let low = bits(low, sub % 4 / 2 * 4, 0x0f);
            joined::<4>(low, two_bits::<Self>(rows, 32, sub, i))
        }
        scale { vmulq_f32(halves(rows, 0), signed(rows, 16 + 8 * (2 * sub + i))) }
        |scale| offset { centred(scale, 32.0) }
    }
}

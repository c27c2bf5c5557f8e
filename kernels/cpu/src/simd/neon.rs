//! AArch64 with NEON: 4 lanes.

use std::arch::aarch64::*;
use std::arch::asm;

use super::define::{on_memory, on_registers};
use super::{Kernel, Simd};

/// Proof that the machine has NEON.
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

/// Runs a kernel, compiled for the set.
///
/// # Safety
/// The machine has NEON.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.simd(Neon(()))
}

/// An array, one expression for each index: a closure might not be compiled for the set.
macro_rules! each {
    (4, |$i:ident| $body:expr) => { each!([0 1 2 3], |$i| $body) };
    (8, |$i:ident| $body:expr) => { each!([0 1 2 3 4 5 6 7], |$i| $body) };
    ([$($index:literal)*], |$i:ident| $body:expr) => {
        [$({
            const $i: usize = $index;
            $body
        }),*]
    };
}

impl Simd for Neon {
    const LANES: usize = 4;
    type F32 = float32x4_t;
    type X16 = [float32x4_t; 4];
    type X32 = [float32x4_t; 8];
    /// The first numbers of all lanes, then the second ones: a product with one factor then adds
    /// to whole registers of sums.
    type Pairs = [[int16x8_t; 4]; 2];
    type I32 = [int32x4_t; 8];

    on_registers! {
        fn splat(value: f32) -> float32x4_t { vdupq_n_f32(value) }
        fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t { vaddq_f32(a, b) }
        fn sub(a: float32x4_t, b: float32x4_t) -> float32x4_t { vsubq_f32(a, b) }
        fn mul(a: float32x4_t, b: float32x4_t) -> float32x4_t { vmulq_f32(a, b) }
        fn div(a: float32x4_t, b: float32x4_t) -> float32x4_t { vdivq_f32(a, b) }
        // The set's own instructions choose otherwise where one of the two is no number.
        fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcgtq_f32(a, b), a, b) }
        fn min(a: float32x4_t, b: float32x4_t) -> float32x4_t { vbslq_f32(vcltq_f32(a, b), a, b) }
        fn mul_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
            vfmaq_f32(c, a, b)
        }
        fn abs(a: float32x4_t) -> float32x4_t { vabsq_f32(a) }
        fn with_sign(magnitude: float32x4_t, sign: float32x4_t) -> float32x4_t {
            vbslq_f32(vdupq_n_u32(1 << 31), sign, magnitude)
        }
        fn round(a: float32x4_t) -> float32x4_t { vrndnq_f32(a) }
        fn power_of_two(n: float32x4_t) -> float32x4_t {{
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        }}
        fn select_less(
            a: float32x4_t,
            b: float32x4_t,
            yes: float32x4_t,
            no: float32x4_t
        ) -> float32x4_t {
            vbslq_f32(vcltq_f32(a, b), yes, no)
        }
        fn sum(a: float32x4_t) -> f32 { vaddvq_f32(a) }
        fn largest(a: float32x4_t) -> f32 { vmaxvq_f32(a) }
        fn splat_i32(value: i32) -> Self::I32 { [vdupq_n_s32(value); 8] }
        fn i32_to_f32(a: Self::I32) -> Self::X32 { each!(8, |I| vcvtq_f32_s32(a[I])) }
        fn split_pairs(pairs: Self::Pairs) -> [Self::X32; 2] {
            [widened(pairs[0]), widened(pairs[1])]
        }
        fn splat_16(value: f32) -> Self::X16 { [vdupq_n_f32(value); 4] }
        fn scale_16(a: f32, b: Self::X16) -> Self::X16 { each!(4, |I| vmulq_n_f32(b[I], a)) }
        fn scale_add_16(a: float32x4_t, b: Self::X16, c: Self::X16) -> Self::X16 {
            each!(4, |I| vfmaq_f32(c[I], a, b[I]))
        }
        fn splat_32(value: f32) -> Self::X32 { [vdupq_n_f32(value); 8] }
        fn scale_32(a: f32, b: Self::X32) -> Self::X32 { each!(8, |I| vmulq_n_f32(b[I], a)) }
        fn mul_add_32(a: Self::X32, b: Self::X32, c: Self::X32) -> Self::X32 {
            each!(8, |I| vfmaq_f32(c[I], a[I], b[I]))
        }
        fn scale_add_32(a: float32x4_t, b: Self::X32, c: Self::X32) -> Self::X32 {
            each!(8, |I| vfmaq_f32(c[I], a, b[I]))
        }
    }

    on_memory! {
        fn load(from: *const f32) -> float32x4_t { vld1q_f32(from) }
        fn store(to: *mut f32, a: float32x4_t) { vst1q_f32(to, a) }
        fn load_16(from: *const f32) -> Self::X16 { each!(4, |I| vld1q_f32(from.add(4 * I))) }
        fn store_16(to: *mut f32, a: Self::X16) {{
            each!(4, |I| vst1q_f32(to.add(4 * I), a[I]));
        }}
        fn load_32(from: *const f32) -> Self::X32 { each!(8, |I| vld1q_f32(from.add(4 * I))) }
        fn store_32(to: *mut f32, a: Self::X32) {{
            each!(8, |I| vst1q_f32(to.add(4 * I), a[I]));
        }}
        fn load_32_f16(from: *const u8) -> Self::X32 {{
            let halves = each!(4, |I| vreinterpretq_f16_u8(vld1q_u8(from.add(16 * I))));
            each!(8, |I| if I % 2 == 0 {
                vcvt_f32_f16(vget_low_f16(halves[I / 2]))
            } else {
                vcvt_high_f32_f16(halves[I / 2])
            })
        }}
        fn load_32_bf16(from: *const u8) -> Self::X32 {{
            let words = each!(4, |I| vreinterpretq_u32_u8(vld1q_u8(from.add(16 * I))));
            let high = vdupq_n_u32(0xffff_0000);
            each!(8, |I| vreinterpretq_f32_u32(if I < 4 {
                vshlq_n_u32::<16>(words[I])
            } else {
                vandq_u32(words[I - 4], high)
            }))
        }}
        fn load_pairs_i8(from: *const u8) -> Self::Pairs {{
            let (a, b) = (vld2q_s8(from.cast()), vld2q_s8(from.add(32).cast()));
            [words(a.0, b.0), words(a.1, b.1)]
        }}
        fn load_pairs_u4(from: *const u8) -> Self::Pairs {{
            let words = vld2q_u16(from.cast());
            [nibbles(words.0), nibbles(words.1)]
        }}
        fn pairs_add(factors: *const i16, pairs: Self::Pairs, sums: Self::I32) -> Self::I32 {{
            let factors = vreinterpret_s16_s32(vdup_n_s32(factors.cast::<i32>().read_unaligned()));
            each!(8, |I| if I % 2 == 0 {
                let sum = vmlal_lane_s16::<0>(sums[I], vget_low_s16(pairs[0][I / 2]), factors);
                vmlal_lane_s16::<1>(sum, vget_low_s16(pairs[1][I / 2]), factors)
            } else {
                let sum = vmlal_high_lane_s16::<0>(sums[I], pairs[0][I / 2], factors);
                vmlal_high_lane_s16::<1>(sum, pairs[1][I / 2], factors)
            })
        }}
        fn round_i16(from: *const f32, factor: f32, to: *mut i16) {{
            each!(4, |I| {
                let (a, b) = (vld1q_f32(from.add(8 * I)), vld1q_f32(from.add(8 * I + 4)));
                let a = vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(a, factor)));
                let b = vcvtnq_s32_f32(vmulq_n_f32(b, factor));
                vst1q_s16(to.add(8 * I), vqmovn_high_s32(a, b));
            });
        }}
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // Into the second level, as on x86-64.
        // SAFETY: a prefetch never faults.
        unsafe {
            asm!("prfm pldl2keep, [{}]", in(reg) address, options(nomem, nostack, preserves_flags));
        }
    }
}

/// 32 bytes as words of 16 bits.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn words(a: int8x16_t, b: int8x16_t) -> [int16x8_t; 4] {
    // SAFETY: this function's own condition.
    unsafe {
        [
            vmovl_s8(vget_low_s8(a)),
            vmovl_high_s8(a),
            vmovl_s8(vget_low_s8(b)),
            vmovl_high_s8(b),
        ]
    }
}

/// Four nibbles of each word, the lowest first.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn nibbles(words: uint16x8_t) -> [int16x8_t; 4] {
    // SAFETY: this function's own condition.
    unsafe {
        let low = vdupq_n_u16(15);
        [
            vreinterpretq_s16_u16(vandq_u16(words, low)),
            vreinterpretq_s16_u16(vandq_u16(vshrq_n_u16::<4>(words), low)),
            vreinterpretq_s16_u16(vandq_u16(vshrq_n_u16::<8>(words), low)),
            vreinterpretq_s16_u16(vshrq_n_u16::<12>(words)),
        ]
    }
}

/// 32 whole numbers as `f32`.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn widened(numbers: [int16x8_t; 4]) -> [float32x4_t; 8] {
    // SAFETY: this function's own condition.
    unsafe {
        each!(8, |I| vcvtq_f32_s32(if I % 2 == 0 {
            vmovl_s16(vget_low_s16(numbers[I / 2]))
        } else {
            vmovl_high_s16(numbers[I / 2])
        }))
    }
}

//! x86-64 with AVX-512: 16 lanes.

use std::arch::x86_64::*;

use super::define::{on_memory, on_registers};
use super::{Kernel, Simd};

/// Proof that the machine has what [`Isa::Avx512`](crate::Isa::Avx512) asks for.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Runs a kernel, compiled for the set.
///
/// # Safety
/// The machine has AVX-512 F, BW, VL, DQ and VNNI, AVX2, FMA and F16C.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.simd(Avx512(()))
}

/// The first `n` lanes of sixteen.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(16)) - 1) as __mmask16
}

impl Simd for Avx512 {
    const LANES: usize = 16;
    const DIRECT_GROUP: usize = 4;
    const WIDE_GROUP: usize = 8;
    type F32 = __m512;
    type X16 = __m512;
    type X32 = [__m512; 2];
    type Pairs = [__m512i; 2];
    type I32 = [__m512i; 2];

    on_registers! {
        fn splat(value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn abs(a: __m512) -> __m512 { _mm512_abs_ps(a) }
        fn with_sign(magnitude: __m512, sign: __m512) -> __m512 {
            _mm512_or_ps(magnitude, _mm512_and_ps(_mm512_set1_ps(-0.0), sign))
        }
        fn round(a: __m512) -> __m512 {
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
        }
        fn power_of_two(n: __m512) -> __m512 {{
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }}
        fn select_less(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes)
        }
        fn sum(a: __m512) -> f32 {{
            let eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let (low, high) = (_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let four = _mm_add_ps(low, high);
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }}
        fn largest(a: __m512) -> f32 {{
            let eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps::<1>(a));
            let (low, high) = (_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let four = _mm_max_ps(low, high);
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }}
        fn splat_i32(value: i32) -> Self::I32 { [_mm512_set1_epi32(value); 2] }
        fn i32_to_f32(a: Self::I32) -> Self::X32 {
            [_mm512_cvtepi32_ps(a[0]), _mm512_cvtepi32_ps(a[1])]
        }
        fn split_pairs(pairs: Self::Pairs) -> [Self::X32; 2] {[
            [
                _mm512_cvtepi32_ps(_mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs[0]))),
                _mm512_cvtepi32_ps(_mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(pairs[1]))),
            ],
            [
                _mm512_cvtepi32_ps(_mm512_srai_epi32::<16>(pairs[0])),
                _mm512_cvtepi32_ps(_mm512_srai_epi32::<16>(pairs[1])),
            ],
        ]}
        fn splat_16(value: f32) -> Self::X16 { _mm512_set1_ps(value) }
        fn scale_16(a: f32, b: Self::X16) -> Self::X16 { _mm512_mul_ps(_mm512_set1_ps(a), b) }
        fn scale_add_16(a: __m512, b: Self::X16, c: Self::X16) -> Self::X16 {
            _mm512_fmadd_ps(a, b, c)
        }
        fn splat_32(value: f32) -> Self::X32 { [_mm512_set1_ps(value); 2] }
        fn scale_32(a: f32, b: Self::X32) -> Self::X32 {{
            let a = _mm512_set1_ps(a);
            [_mm512_mul_ps(a, b[0]), _mm512_mul_ps(a, b[1])]
        }}
        fn mul_add_32(a: Self::X32, b: Self::X32, c: Self::X32) -> Self::X32 {
            [_mm512_fmadd_ps(a[0], b[0], c[0]), _mm512_fmadd_ps(a[1], b[1], c[1])]
        }
        fn scale_add_32(a: __m512, b: Self::X32, c: Self::X32) -> Self::X32 {
            [_mm512_fmadd_ps(a, b[0], c[0]), _mm512_fmadd_ps(a, b[1], c[1])]
        }
    }

    on_memory! {
        fn load(from: *const f32) -> __m512 { _mm512_loadu_ps(from) }
        fn store(to: *mut f32, a: __m512) { _mm512_storeu_ps(to, a) }
        fn load_16(from: *const f32) -> Self::X16 { _mm512_loadu_ps(from) }
        fn store_16(to: *mut f32, a: Self::X16) { _mm512_storeu_ps(to, a) }
        fn load_32(from: *const f32) -> Self::X32 {
            [_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16))]
        }
        fn store_32(to: *mut f32, a: Self::X32) {{
            _mm512_storeu_ps(to, a[0]);
            _mm512_storeu_ps(to.add(16), a[1]);
        }}
        fn load_32_f16(from: *const u8) -> Self::X32 {{
            let from: *const __m256i = from.cast();
            [
                _mm512_cvtph_ps(_mm256_loadu_si256(from)),
                _mm512_cvtph_ps(_mm256_loadu_si256(from.add(1))),
            ]
        }}
        fn load_32_bf16(from: *const u8) -> Self::X32 {{
            let words = _mm512_loadu_si512(from.cast());
            let high = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            [
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(words)),
                _mm512_castsi512_ps(_mm512_and_si512(words, high)),
            ]
        }}
        fn load_pairs_i8(from: *const u8) -> Self::Pairs {{
            let from: *const __m256i = from.cast();
            [
                _mm512_cvtepi8_epi16(_mm256_loadu_si256(from)),
                _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.add(1))),
            ]
        }}
        fn load_pairs_u4(from: *const u8) -> Self::Pairs {{
            // The lanes of each half of a register have their bits at another place.
            let words = _mm512_broadcast_i64x4(_mm256_loadu_si256(from.cast()));
            let places = |low, high| {
                let (low, high) = (_mm256_set1_epi16(low), _mm256_set1_epi16(high));
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
            };
            let low = _mm512_set1_epi16(15);
            [
                _mm512_and_si512(_mm512_srlv_epi16(words, places(0, 4)), low),
                _mm512_and_si512(_mm512_srlv_epi16(words, places(8, 12)), low),
            ]
        }}
        fn pairs_add(factors: *const i16, pairs: Self::Pairs, sums: Self::I32) -> Self::I32 {{
            let factors = _mm512_set1_epi32(factors.cast::<i32>().read_unaligned());
            [
                _mm512_dpwssd_epi32(sums[0], factors, pairs[0]),
                _mm512_dpwssd_epi32(sums[1], factors, pairs[1]),
            ]
        }}
        fn round_i16(from: *const f32, factor: f32, to: *mut i16) {{
            let factor = _mm512_set1_ps(factor);
            for half in [0, 16] {
                let values = _mm512_mul_ps(_mm512_loadu_ps(from.add(half)), factor);
                let codes = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(values));
                _mm256_storeu_si256(to.add(half).cast(), codes);
            }
        }}
        fn load_upto(from: *const f32, n: usize) -> __m512 {
            _mm512_maskz_loadu_ps(first(n), from)
        }
        fn store_upto(to: *mut f32, a: __m512, n: usize) {
            _mm512_mask_storeu_ps(to, first(n), a)
        }
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}

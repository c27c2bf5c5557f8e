//! x86-64 with AVX2, FMA and F16C: 8 lanes.

use std::arch::x86_64::*;

use super::define::{on_memory, on_registers};
use super::{Kernel, Simd};

/// Proof that the machine has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

/// Runs a kernel, compiled for the set.
///
/// # Safety
/// The machine has AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.simd(Avx2(()))
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type F32 = __m256;
    type X16 = [__m256; 2];
    type X32 = [__m256; 4];
    type Pairs = [__m256i; 4];
    type I32 = [__m256i; 4];

    on_registers! {
        fn splat(value: f32) -> __m256 { _mm256_set1_ps(value) }
        fn add(a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn sub(a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn mul(a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn div(a: __m256, b: __m256) -> __m256 { _mm256_div_ps(a, b) }
        fn max(a: __m256, b: __m256) -> __m256 { _mm256_max_ps(a, b) }
        fn min(a: __m256, b: __m256) -> __m256 { _mm256_min_ps(a, b) }
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 { _mm256_fmadd_ps(a, b, c) }
        fn abs(a: __m256) -> __m256 { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        fn with_sign(magnitude: __m256, sign: __m256) -> __m256 {
            _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0), sign))
        }
        fn round(a: __m256) -> __m256 {
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
        }
        fn power_of_two(n: __m256) -> __m256 {{
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }}
        fn select_less(a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
            _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b))
        }
        fn sum(a: __m256) -> f32 {{
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }}
        fn largest(a: __m256) -> f32 {{
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }}
        fn splat_i32(value: i32) -> Self::I32 { [_mm256_set1_epi32(value); 4] }
        fn i32_to_f32(a: Self::I32) -> Self::X32 {[
            _mm256_cvtepi32_ps(a[0]),
            _mm256_cvtepi32_ps(a[1]),
            _mm256_cvtepi32_ps(a[2]),
            _mm256_cvtepi32_ps(a[3]),
        ]}
        fn split_pairs(pairs: Self::Pairs) -> [Self::X32; 2] {[
            [
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs[0]))),
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs[1]))),
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs[2]))),
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs[3]))),
            ],
            [
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(pairs[0])),
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(pairs[1])),
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(pairs[2])),
                _mm256_cvtepi32_ps(_mm256_srai_epi32::<16>(pairs[3])),
            ],
        ]}
        fn splat_16(value: f32) -> Self::X16 { [_mm256_set1_ps(value); 2] }
        fn scale_16(a: f32, b: Self::X16) -> Self::X16 {{
            let a = _mm256_set1_ps(a);
            [_mm256_mul_ps(a, b[0]), _mm256_mul_ps(a, b[1])]
        }}
        fn scale_add_16(a: __m256, b: Self::X16, c: Self::X16) -> Self::X16 {
            [_mm256_fmadd_ps(a, b[0], c[0]), _mm256_fmadd_ps(a, b[1], c[1])]
        }
        fn splat_32(value: f32) -> Self::X32 { [_mm256_set1_ps(value); 4] }
        fn scale_32(a: f32, b: Self::X32) -> Self::X32 {{
            let a = _mm256_set1_ps(a);
            [
                _mm256_mul_ps(a, b[0]),
                _mm256_mul_ps(a, b[1]),
                _mm256_mul_ps(a, b[2]),
                _mm256_mul_ps(a, b[3]),
            ]
        }}
        fn mul_add_32(a: Self::X32, b: Self::X32, c: Self::X32) -> Self::X32 {[
            _mm256_fmadd_ps(a[0], b[0], c[0]),
            _mm256_fmadd_ps(a[1], b[1], c[1]),
            _mm256_fmadd_ps(a[2], b[2], c[2]),
            _mm256_fmadd_ps(a[3], b[3], c[3]),
        ]}
        fn scale_add_32(a: __m256, b: Self::X32, c: Self::X32) -> Self::X32 {[
            _mm256_fmadd_ps(a, b[0], c[0]),
            _mm256_fmadd_ps(a, b[1], c[1]),
            _mm256_fmadd_ps(a, b[2], c[2]),
            _mm256_fmadd_ps(a, b[3], c[3]),
        ]}
    }

    on_memory! {
        fn load(from: *const f32) -> __m256 { _mm256_loadu_ps(from) }
        fn store(to: *mut f32, a: __m256) { _mm256_storeu_ps(to, a) }
        fn load_16(from: *const f32) -> Self::X16 {
            [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))]
        }
        fn store_16(to: *mut f32, a: Self::X16) {{
            _mm256_storeu_ps(to, a[0]);
            _mm256_storeu_ps(to.add(8), a[1]);
        }}
        fn load_32(from: *const f32) -> Self::X32 {[
            _mm256_loadu_ps(from),
            _mm256_loadu_ps(from.add(8)),
            _mm256_loadu_ps(from.add(16)),
            _mm256_loadu_ps(from.add(24)),
        ]}
        fn store_32(to: *mut f32, a: Self::X32) {{
            _mm256_storeu_ps(to, a[0]);
            _mm256_storeu_ps(to.add(8), a[1]);
            _mm256_storeu_ps(to.add(16), a[2]);
            _mm256_storeu_ps(to.add(24), a[3]);
        }}
        fn load_32_f16(from: *const u8) -> Self::X32 {{
            let from: *const __m128i = from.cast();
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from)),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(1))),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(2))),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(3))),
            ]
        }}
        fn load_32_bf16(from: *const u8) -> Self::X32 {{
            let from: *const __m256i = from.cast();
            let (a, b) = (_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1)));
            let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            [
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(a)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(b)),
                _mm256_castsi256_ps(_mm256_and_si256(a, high)),
                _mm256_castsi256_ps(_mm256_and_si256(b, high)),
            ]
        }}
        fn load_pairs_i8(from: *const u8) -> Self::Pairs {{
            let from: *const __m128i = from.cast();
            [
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from)),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(1))),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(2))),
                _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(3))),
            ]
        }}
        fn load_pairs_u4(from: *const u8) -> Self::Pairs {{
            let words = _mm256_loadu_si256(from.cast());
            let low = _mm256_set1_epi16(15);
            [
                _mm256_and_si256(words, low),
                _mm256_and_si256(_mm256_srli_epi16::<4>(words), low),
                _mm256_and_si256(_mm256_srli_epi16::<8>(words), low),
                _mm256_srli_epi16::<12>(words),
            ]
        }}
        fn pairs_add(factors: *const i16, pairs: Self::Pairs, sums: Self::I32) -> Self::I32 {{
            let factors = _mm256_set1_epi32(factors.cast::<i32>().read_unaligned());
            [
                _mm256_add_epi32(sums[0], _mm256_madd_epi16(factors, pairs[0])),
                _mm256_add_epi32(sums[1], _mm256_madd_epi16(factors, pairs[1])),
                _mm256_add_epi32(sums[2], _mm256_madd_epi16(factors, pairs[2])),
                _mm256_add_epi32(sums[3], _mm256_madd_epi16(factors, pairs[3])),
            ]
        }}
        fn round_i16(from: *const f32, factor: f32, to: *mut i16) {{
            let factor = _mm256_set1_ps(factor);
            for half in [0, 16] {
                let a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from.add(half)), factor));
                let from = from.add(half + 8);
                let b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from), factor));
                // The instruction packs the two halves of a register apart.
                let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a, b));
                _mm256_storeu_si256(to.add(half).cast(), packed);
            }
        }}
    }

    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        // Into the second level: the first one waits for so few lines at a time that it would bound
        // what is read in a second, and is too small for a block that is used and the next one.
        // SAFETY: a prefetch never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}

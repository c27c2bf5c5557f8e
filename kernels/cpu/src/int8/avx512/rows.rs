//! Rounding of activations.

use std::arch::x86_64::*;

use crate::int8::blocks::Rounded;
use crate::int8::layout::SUB;

/// As the scalar twin.
pub(in crate::int8) fn round(x: &[f32; SUB]) -> Rounded {
    // SAFETY: this instruction set was chosen, so the machine has it.
    unsafe { round_avx512(x) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn round_avx512(x: &[f32; SUB]) -> Rounded {
    let at = x.as_ptr();
    // SAFETY: 32 values are two whole vectors.
    let (a, b) = unsafe { (_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(16))) };
    // The operand that may be NaN comes first: then the other is kept, as in the scalar twin.
    let max = _mm512_max_ps(_mm512_abs_ps(a), _mm512_setzero_ps());
    let max = _mm512_max_ps(_mm512_abs_ps(b), max);
    let max = _mm256_max_ps(
        _mm512_castps512_ps256(max),
        _mm512_extractf32x8_ps::<1>(max),
    );
    let max = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps::<1>(max));
    let max = _mm_max_ps(max, _mm_movehl_ps(max, max));
    let largest = _mm_cvtss_f32(_mm_max_ss(max, _mm_movehdup_ps(max)));
    let inverse = _mm512_set1_ps(if largest > 0.0 { 127.0 / largest } else { 0.0 });
    let low = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse)));
    let high = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse)));
    let codes = _mm256_set_m128i(high, low);
    let fours = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), codes);
    let eights = _mm256_add_epi32(fours, _mm256_shuffle_epi32::<0b10_11_00_01>(fours));
    let halves = _mm256_add_epi32(eights, _mm256_shuffle_epi32::<0b01_00_11_10>(eights));
    let mut rounded = Rounded {
        codes: [[0; 4]; 8],
        scale: largest / 127.0,
        sums: [
            _mm256_extract_epi32::<0>(halves),
            _mm256_extract_epi32::<4>(halves),
        ],
    };
    // SAFETY: 32 codes are one vector.
    unsafe { _mm256_storeu_si256(rounded.codes.as_mut_ptr().cast(), codes) };
    rounded
}

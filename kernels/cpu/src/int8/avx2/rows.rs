//! Rounding of activations.

use std::arch::x86_64::*;

use crate::int8::blocks::Rounded;
use crate::int8::layout::SUB;

/// As the scalar twin.
pub(in crate::int8) fn round(x: &[f32; SUB]) -> Rounded {
    // SAFETY: this instruction set was chosen, so the machine has it.
    unsafe { round_avx2(x) }
}

#[target_feature(enable = "avx2")]
fn round_avx2(x: &[f32; SUB]) -> Rounded {
    let at = x.as_ptr();
    // SAFETY: 32 values are four whole vectors.
    let (a, b, c, d) = unsafe {
        (
            _mm256_loadu_ps(at),
            _mm256_loadu_ps(at.add(8)),
            _mm256_loadu_ps(at.add(16)),
            _mm256_loadu_ps(at.add(24)),
        )
    };
    let sign = _mm256_set1_ps(-0.0);
    // The operand that may be NaN comes first: then the other is kept, as in the scalar twin.
    let max = _mm256_max_ps(_mm256_andnot_ps(sign, a), _mm256_setzero_ps());
    let max = _mm256_max_ps(_mm256_andnot_ps(sign, b), max);
    let max = _mm256_max_ps(_mm256_andnot_ps(sign, c), max);
    let max = _mm256_max_ps(_mm256_andnot_ps(sign, d), max);
    let max = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps::<1>(max));
    let max = _mm_max_ps(max, _mm_movehl_ps(max, max));
    let largest = _mm_cvtss_f32(_mm_max_ss(max, _mm_movehdup_ps(max)));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let inverse = _mm256_set1_ps(inverse);
    let low = _mm256_packs_epi32(
        _mm256_cvtps_epi32(_mm256_mul_ps(a, inverse)),
        _mm256_cvtps_epi32(_mm256_mul_ps(b, inverse)),
    );
    let high = _mm256_packs_epi32(
        _mm256_cvtps_epi32(_mm256_mul_ps(c, inverse)),
        _mm256_cvtps_epi32(_mm256_mul_ps(d, inverse)),
    );
    // Packing works inside each half of the vector; the words are then brought into order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let codes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
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

//! Rounding of activations.

use std::arch::x86_64::*;

use crate::int8::layout::SUB;

/// As the scalar twin.
pub(in crate::int8) fn quantize(x: &[f32; SUB], codes: &mut [i8; SUB]) -> f32 {
    // SAFETY: this instruction set was chosen, so the machine has it.
    unsafe { quantize_avx2(x, codes) }
}

#[target_feature(enable = "avx2")]
fn quantize_avx2(x: &[f32; SUB], codes: &mut [i8; SUB]) -> f32 {
    // SAFETY: 32 values are four whole vectors.
    let x: [__m256; 4] = std::array::from_fn(|i| unsafe { _mm256_loadu_ps(x.as_ptr().add(8 * i)) });
    let sign = _mm256_set1_ps(-0.0);
    let size = x.map(|x| _mm256_andnot_ps(sign, x));
    // The operand that may be NaN comes first: then the other is kept, as in the scalar twin.
    let max = size
        .into_iter()
        .fold(_mm256_setzero_ps(), |max, size| _mm256_max_ps(size, max));
    let max = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps::<1>(max));
    let max = _mm_max_ps(max, _mm_movehl_ps(max, max));
    let largest = _mm_cvtss_f32(_mm_max_ss(max, _mm_movehdup_ps(max)));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let rounded = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(inverse))));
    let low = _mm256_packs_epi32(rounded[0], rounded[1]);
    let high = _mm256_packs_epi32(rounded[2], rounded[3]);
    // Packing works inside each half of the vector; the words are then brought into order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let packed = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    // SAFETY: 32 codes are one vector.
    unsafe { _mm256_storeu_si256(codes.as_mut_ptr().cast(), packed) };
    largest / 127.0
}

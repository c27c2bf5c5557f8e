//! Rounding of activations.

use std::arch::aarch64::*;

use crate::int8::blocks::Rounded;
use crate::int8::layout::SUB;

/// As the scalar twin.
pub(in crate::int8) fn round(x: &[f32; SUB]) -> Rounded {
    // SAFETY: this instruction set was chosen, so the machine has it.
    unsafe { round_neon(x) }
}

#[target_feature(enable = "neon")]
fn round_neon(x: &[f32; SUB]) -> Rounded {
    let mut fours = [vdupq_n_f32(0.0); SUB / 4];
    // Of a number and none the instruction returns the number, as the scalar twin does.
    let mut max = vdupq_n_f32(0.0);
    for (four, x) in fours.iter_mut().zip(x.as_chunks::<4>().0) {
        // SAFETY: four values are one vector.
        *four = unsafe { vld1q_f32(x.as_ptr()) };
        max = vmaxnmq_f32(max, vabsq_f32(*four));
    }
    let largest = vmaxnmvq_f32(max);
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    let mut rounded = Rounded {
        codes: [[0; 4]; 8],
        scale: largest / 127.0,
        sums: [0; 2],
    };
    let halves = rounded.codes.as_chunks_mut::<4>().0.iter_mut();
    for (half, codes) in halves.enumerate() {
        let mut words = [vdupq_n_s32(0); 4];
        for (word, four) in words.iter_mut().zip(&fours[4 * half..]) {
            *word = vcvtnq_s32_f32(vmulq_n_f32(*four, inverse));
        }
        let low = vqmovn_high_s32(vqmovn_s32(words[0]), words[1]);
        let high = vqmovn_high_s32(vqmovn_s32(words[2]), words[3]);
        let bytes = vqmovn_high_s16(vqmovn_s16(low), high);
        // SAFETY: sixteen codes are one vector.
        unsafe { vst1q_s8(codes.as_flattened_mut().as_mut_ptr(), bytes) };
        rounded.sums[half] = i32::from(vaddlvq_s8(bytes));
    }
    rounded
}

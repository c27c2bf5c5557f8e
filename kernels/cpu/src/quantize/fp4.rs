//! MXFP4: four-bit floating-point numbers with a power of two as their scale. The layout stands
//! beside its reader in `scalar::fp4`.

use super::fit;
use super::{pairs, put};

/// The borders between the magnitudes 0, ½, 1, 1½, 2, 3, 4, 6 of E2M1: halfway.
const BORDERS: [f32; 7] = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0];
/// The magnitudes by code.
const MAGNITUDES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// One scale of 8 bits (2^(e − 127)) and 32 codes.
///
/// The OCP specification takes the exponent of the largest magnitude, minus that of 4 (the largest
/// power of two among the magnitudes). That cuts off what lies between 6 and 8 times the scale,
/// so the next larger scale is tried too, and the one with the smaller squared error wins.
pub(super) fn mxfp4(values: &[f32], blocks: &mut [u8]) {
    for (x, block) in pairs::<32, 17>(values, blocks) {
        let e = exponent(fit::peak(x).abs());
        let (e, codes) = [e, (e + 1).min(LARGEST)]
            .map(|e| (e, codes(x, e)))
            .into_iter()
            .min_by(|(a_e, a), (b_e, b)| error(x, *a_e, a).total_cmp(&error(x, *b_e, b)))
            .expect("there are two");
        block[0] = e;
        let packed: [u8; 16] = std::array::from_fn(|i| codes[i] | codes[i + 16] << 4);
        put(block, 1, packed);
    }
}

/// The largest exponent that is written: 2^125. With the next one, 4 times the scale is no `f32`.
const LARGEST: u8 = 252;

/// The specification's stored exponent for a largest magnitude; 0, the smallest scale, for 0.
fn exponent(largest: f32) -> u8 {
    // The exponent field of f32 has the same bias of 127; subnormal numbers have the field 0.
    let field = (largest.to_bits() >> 23) as u8;
    field.saturating_sub(2).min(LARGEST)
}

/// 2^(e − 127).
fn scale(e: u8) -> f32 {
    // The smallest is subnormal.
    f32::from_bits(match e {
        0 => 0x0040_0000,
        _ => u32::from(e) << 23,
    })
}

fn codes(x: &[f32; 32], e: u8) -> [u8; 32] {
    let scale = scale(e);
    let borders = BORDERS.map(|border| border * scale);
    x.map(|v| {
        let magnitude = v.abs();
        let code: u8 = borders.iter().map(|b| u8::from(magnitude > *b)).sum();
        // Minus zero is no code of its own.
        let negative = v < 0.0 && code > 0;
        code | u8::from(negative) << 3
    })
}

/// The squared error; in `f64`, whose range holds the square of any `f32`.
fn error(x: &[f32; 32], e: u8, codes: &[u8; 32]) -> f64 {
    let scale = f64::from(scale(e));
    let distance = |(v, code): (&f32, &u8)| {
        let distance = scale * f64::from(MAGNITUDES[usize::from(code & 7)]) - f64::from(v.abs());
        distance * distance
    };
    x.iter().zip(codes).map(distance).sum()
}

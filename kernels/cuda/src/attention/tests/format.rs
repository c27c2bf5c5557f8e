//! The formats of the cache in plain Rust.

use ponder_kernels_cpu::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

use crate::attention::KvFormat;

fn through(x: f32, to: impl Fn(&[f32], &mut [u8]), from: impl Fn(&[u8], &mut [f32])) -> f32 {
    let (mut bytes, mut back) = ([0; 2], [0.0]);
    to(&[x], &mut bytes);
    from(&bytes, &mut back);
    back[0]
}

/// The nearest half-precision number, the largest one for what is beyond.
pub(super) fn half(x: f32) -> f32 {
    through(x.clamp(-65504.0, 65504.0), f32_to_f16, f16_to_f32)
}

pub(super) fn brain(x: f32) -> f32 {
    through(x, f32_to_bf16, bf16_to_f32)
}

/// What a head becomes in the cache.
pub(super) fn stored(format: KvFormat, head: &[f32]) -> Vec<f32> {
    match format {
        KvFormat::F32 => head.to_vec(),
        KvFormat::F16 => head.iter().map(|&x| half(x)).collect(),
        KvFormat::Bf16 => head.iter().map(|&x| brain(x)).collect(),
        KvFormat::Q8_0 => head.chunks(32).flat_map(eight_bits).collect(),
        KvFormat::Fp8 => head.chunks(32).flat_map(small_floats).collect(),
    }
}

fn eight_bits(chunk: &[f32]) -> Vec<f32> {
    let largest = chunk.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let scale = half(largest / 127.0);
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    let code = |x: &f32| (x * inverse).round_ties_even().clamp(-127.0, 127.0);
    chunk.iter().map(|x| code(x) * scale).collect()
}

/// The number of a code of E4M3.
pub(super) fn e4m3(code: u8) -> f32 {
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let magnitude = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => fraction * 2f32.powi(-9),
        _ => (8.0 + fraction) * 2f32.powi(exponent - 10),
    };
    magnitude.copysign(if code < 128 { 1.0 } else { -1.0 })
}

/// The nearest number of E4M3, of two the one whose code is even; the largest for what is beyond.
pub(super) fn nearest_e4m3(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let distance = |&code: &u8| (e4m3(code) - x.abs()).abs();
    let nearest = (0..0x7f).min_by(|a, b| {
        let order = distance(a).total_cmp(&distance(b));
        order.then((a % 2).cmp(&(b % 2)))
    });
    e4m3(nearest.expect("there are many")).copysign(x)
}

fn small_floats(chunk: &[f32]) -> Vec<f32> {
    let largest = chunk.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let mut scales = (-14..=7).map(|exponent| 2f32.powi(exponent));
    let scale = scales.find(|scale| largest <= 448.0 * scale);
    let scale = scale.unwrap_or(128.0);
    chunk
        .iter()
        .map(|x| nearest_e4m3(x / scale) * scale)
        .collect()
}

/// The type of the tensor cores' factors, and how far its numbers are from others, relative.
pub(super) fn of_factors(format: KvFormat) -> (fn(f32) -> f32, f64) {
    match format {
        KvFormat::Bf16 => (brain, 1.0 / 256.0),
        _ => (half, 1.0 / 2048.0),
    }
}

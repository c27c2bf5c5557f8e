//! Stored values to `f32`.

use ponder_kernels_cpu::{bf16_to_f32, dequantize, f16_to_f32, f32_from_le_bytes};

use super::tensor::TensorType;

/// Converts all of `bytes`, which hold exactly as many values as `out`.
pub(super) fn to_f32(ty: TensorType, bytes: &[u8], out: &mut [f32]) {
    match ty {
        TensorType::F32 => f32_from_le_bytes(bytes, out),
        TensorType::F16 => f16_to_f32(bytes, out),
        TensorType::BF16 => bf16_to_f32(bytes, out),
        TensorType::Block(format) => dequantize(format, bytes, out),
        TensorType::F8E4M3 => each(bytes, out, |[b]| e4m3(b)),
        TensorType::F64 => each(bytes, out, |b| f64::from_le_bytes(b) as f32),
        TensorType::I8 => each(bytes, out, |b| f32::from(i8::from_le_bytes(b))),
        TensorType::I16 => each(bytes, out, |b| f32::from(i16::from_le_bytes(b))),
        TensorType::I32 => each(bytes, out, |b| i32::from_le_bytes(b) as f32),
        TensorType::I64 => each(bytes, out, |b| i64::from_le_bytes(b) as f32),
        TensorType::U8 => each(bytes, out, |[b]| f32::from(b)),
        TensorType::U16 => each(bytes, out, |b| f32::from(u16::from_le_bytes(b))),
        TensorType::U32 => each(bytes, out, |b| u32::from_le_bytes(b) as f32),
        TensorType::U64 => each(bytes, out, |b| u64::from_le_bytes(b) as f32),
        TensorType::Bool => each(bytes, out, |[b]| if b == 0 { 0.0 } else { 1.0 }),
    }
}

/// A sign, four bits of exponent, and three bits; there is no infinity.
fn e4m3(bits: u8) -> f32 {
    let magnitude = match bits & 0x7f {
        0x7f => f32::NAN,
        // As bits of float32 they stand for 2^120 times less, small ones too.
        rest => f32::from_bits(u32::from(rest) << 20) * 2.0f32.powi(120),
    };
    if bits < 0x80 { magnitude } else { -magnitude }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
    let bytes = bytes.as_chunks().0;
    assert_eq!(bytes.len(), out.len(), "as many values as places");
    for (out, bytes) in out.iter_mut().zip(bytes) {
        *out = value(*bytes);
    }
}

//! What encoders write, read back: by format, at odd numbers of blocks, and for values that no
//! model should have.

use super::Encoder;
use crate::{BlockFormat, dequantize};

fn encoders() -> impl Iterator<Item = Encoder> {
    BlockFormat::ALL.into_iter().filter_map(Encoder::of)
}

fn encode(encoder: Encoder, values: &[f32]) -> Vec<u8> {
    let format = encoder.format();
    let mut blocks = vec![0; values.len() / format.block_len() * format.block_bytes()];
    encoder.encode(values, &mut blocks);
    blocks
}

fn round_trip(encoder: Encoder, values: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; values.len()];
    dequantize(encoder.format(), &encode(encoder, values), &mut out);
    out
}

/// Numbers as weights have them: bell-shaped, each group of 64 with a strength of its own.
fn weights(n: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_u32;
    let mut uniform = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let mut strength = 0.0;
    let value = |i: usize| {
        if i.is_multiple_of(64) {
            strength = 0.01 + 0.05 * uniform();
        }
        // Of twelve uniform numbers the sum has variance 1.
        strength * ((0..12).map(|_| uniform()).sum::<f32>() - 6.0)
    };
    (0..n).map(value).collect()
}

fn relative_rms(values: &[f32], read: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v) * f64::from(v);
    let error: f64 = values.iter().zip(read).map(|(a, b)| square(a - b)).sum();
    (error / values.iter().map(|v| square(*v)).sum::<f64>()).sqrt()
}

/// The figures are those of llama.cpp's encoders without an importance matrix, on these values
/// (`ggml_quantize_chunk`).
#[test]
fn errors_are_no_larger_than_those_of_llama_cpp() {
    let values = weights(256 * 256);
    for (format, theirs) in [
        (BlockFormat::Q4_0, 0.0845565),
        (BlockFormat::Q5_0, 0.0422659),
        (BlockFormat::Q5_1, 0.0376230),
        (BlockFormat::Q8_0, 0.0052915),
        (BlockFormat::Q4K, 0.0709692),
        (BlockFormat::Q5K, 0.0360344),
        (BlockFormat::Q6K, 0.0176254),
        (BlockFormat::MXFP4, 0.1151852),
    ] {
        let ours = relative_rms(&values, &round_trip(Encoder::of(format).unwrap(), &values));
        assert!(ours <= theirs, "{format}: {ours:.5} is more than {theirs}");
    }
}

/// No value is farther off than the steps of its group allow, spikes and clipping included.
#[test]
fn no_value_is_off_by_more_than_a_step() {
    let mut values = weights(256 * 64);
    for i in (0..values.len()).step_by(379) {
        values[i] *= 20.0;
    }
    for encoder in encoders() {
        // The group that shares a scale, and the largest distance as a share of its range.
        let (group, step) = match encoder.format() {
            BlockFormat::Q4_0 => (32, 1.0 / 8.0),
            BlockFormat::Q5_0 => (32, 1.0 / 16.0),
            BlockFormat::Q5_1 => (32, 2.0 / 31.0),
            BlockFormat::Q8_0 => (32, 0.501 / 127.0),
            BlockFormat::Q4K => (256, 2.0 / 15.0),
            BlockFormat::Q5K => (256, 2.0 / 31.0),
            BlockFormat::Q6K => (256, 1.0 / 32.0),
            BlockFormat::MXFP4 => (32, 2.0 / 6.0),
            other => panic!("no bound for {other}"),
        };
        let read = round_trip(encoder, &values);
        for (values, read) in values.chunks(group).zip(read.chunks(group)) {
            let largest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (v, r) in values.iter().zip(read) {
                let off = (v - r).abs();
                assert!(
                    off <= step * largest,
                    "{}: {v} became {r} where the largest is {largest}",
                    encoder.format()
                );
            }
        }
    }
}

#[test]
fn many_blocks_equal_one_block_at_a_time() {
    for encoder in encoders() {
        let len = encoder.format().block_len();
        let values = weights(len * 65);
        let each: Vec<u8> = values
            .chunks(len)
            .flat_map(|block| encode(encoder, block))
            .collect();
        assert_eq!(encode(encoder, &values), each, "{}", encoder.format());
        assert!(encode(encoder, &[]).is_empty());
    }
}

#[test]
fn zeros_stay_zeros() {
    for encoder in encoders() {
        for zero in [0.0, -0.0, 1e-30, -f32::MIN_POSITIVE, f32::from_bits(1)] {
            let read = round_trip(encoder, &[zero; 256]);
            assert!(
                read.iter().all(|v| (v - zero).abs() <= zero.abs()),
                "{}: {zero} became {}",
                encoder.format(),
                read[0]
            );
        }
    }
}

#[test]
fn constants_stay_near() {
    for encoder in encoders() {
        for constant in [1.0, -1.0, 0.037, -0.037, 3e4, -3e4, 6e4, -6e4, 1e-3] {
            for read in round_trip(encoder, &[constant; 256]) {
                let off = (read - constant).abs() / constant.abs();
                let bound = match encoder.format() {
                    // A power of two and three significant bits.
                    BlockFormat::MXFP4 => 0.2,
                    _ => 0.02,
                };
                assert!(
                    off <= bound,
                    "{}: {constant} became {read}",
                    encoder.format()
                );
            }
        }
    }
}

/// Scales end where half precision does: larger values are cut off, and nothing becomes infinite.
#[test]
fn huge_values_are_cut_off() {
    for encoder in encoders() {
        for huge in [1e9, -1e9, f32::MAX, f32::MIN] {
            let mut values = weights(256);
            values[100] = huge;
            let read = round_trip(encoder, &values);
            assert!(
                read.iter().all(|v| v.is_finite()),
                "{}: {huge}",
                encoder.format()
            );
            assert!(
                read[100] / huge >= encoder.max_magnitude().min(huge.abs()) * 0.7 / huge.abs(),
                "{}: {huge} became {}",
                encoder.format(),
                read[100]
            );
        }
    }
}

#[test]
fn what_is_no_number_does_no_harm() {
    for encoder in encoders() {
        let len = encoder.format().block_len();
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = weights(3 * len);
            let clean = encode(encoder, &values);
            values[len + 5] = poison;
            let poisoned = encode(encoder, &values);
            let bytes = encoder.format().block_bytes();
            assert_eq!(poisoned[..bytes], clean[..bytes]);
            assert_eq!(poisoned[2 * bytes..], clean[2 * bytes..]);
            let all = vec![poison; len];
            assert_eq!(encode(encoder, &all).len(), bytes);
        }
    }
}

/// Blocks that a reader can make are written again almost as they were: whatever a layout
/// permutes comes back to its place.
#[test]
fn blocks_come_back() {
    for encoder in encoders() {
        let once = round_trip(encoder, &weights(256 * 16));
        let error = relative_rms(&once, &round_trip(encoder, &once));
        let bound = match encoder.format() {
            BlockFormat::MXFP4 => 0.0,
            _ => 0.005,
        };
        assert!(error <= bound, "{}: {error}", encoder.format());
    }
}

#[test]
fn small_halves_keep_their_blocks() {
    // 127 steps of a subnormal half: rounding the scale down would cut the peak off.
    for i in 1..200 {
        let peak = i as f32 * 1e-6;
        let values: Vec<f32> = (0..32).map(|k| peak * (k as f32 / 31.0)).collect();
        let read = round_trip(Encoder::of(BlockFormat::Q8_0).unwrap(), &values);
        for (v, r) in values.iter().zip(read) {
            assert!(
                (v - r).abs() <= 0.5 * (peak / 127.0 + 6e-8),
                "{v} became {r}"
            );
        }
    }
}

#[test]
fn formats_that_are_only_read_have_no_encoder() {
    assert!(Encoder::of(BlockFormat::IQ2XXS).is_none());
    assert_eq!(encoders().count(), 8);
}

#[test]
#[should_panic(expected = "Q8_0: 33 values do not fill 34 bytes")]
fn wrong_lengths_are_refused() {
    Encoder::of(BlockFormat::Q8_0)
        .unwrap()
        .encode(&[0.0; 33], &mut [0; 34]);
}

#[test]
fn plain_values_are_rounded_to_even() {
    let values = [
        1.0,
        1.0 + 2f32.powi(-11),
        1.0 + 3.0 * 2f32.powi(-11),
        -65_504.0,
    ];
    let mut bytes = [0; 8];
    super::f32_to_f16(&values, &mut bytes);
    let mut read = [0.0; 4];
    crate::f16_to_f32(&bytes, &mut read);
    assert_eq!(read, [1.0, 1.0, 1.0 + 2f32.powi(-9), -65_504.0]);
    let values = [1.0, 1.0 + 2f32.powi(-8), 1.0 + 3.0 * 2f32.powi(-8), -3e38];
    super::f32_to_bf16(&values, &mut bytes);
    crate::bf16_to_f32(&bytes, &mut read);
    assert_eq!(read[..3], [1.0, 1.0, 1.0 + 2f32.powi(-6)]);
    assert!((read[3] / -3e38 - 1.0).abs() < 0.004);
}

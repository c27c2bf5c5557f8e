//! Dequantization against blocks made by the Python package `gguf`, and the conversions of plain
//! numbers against the crate `half`.

use crate::{BlockFormat, bf16_to_f32, dequantize, f16_to_f32, f32_from_le_bytes};

/// Made by `testdata/make_blocks.py`: two blocks of each format, then their values.
const BLOCKS: &[u8] = include_bytes!("../../testdata/blocks.bin");

#[test]
fn every_format_equals_the_python_package_bit_for_bit() {
    let mut rest = BLOCKS;
    for format in BlockFormat::ALL {
        let (raw, values) = rest.split_at(2 * format.block_bytes());
        let (values, next) = values.split_at(2 * 4 * format.block_len());
        rest = next;
        let mut out = vec![f32::NAN; 2 * format.block_len()];
        dequantize(format, raw, &mut out);
        for (i, (got, expected)) in out.iter().zip(values.as_chunks().0).enumerate() {
            let expected = f32::from_le_bytes(*expected);
            assert_eq!(
                got.to_bits(),
                expected.to_bits(),
                "{format} value {i}: {got} {expected}"
            );
        }
    }
    assert!(rest.is_empty(), "blocks.bin holds more than the formats");
}

#[test]
fn many_blocks_equal_one_block_at_a_time() {
    for format in BlockFormat::ALL {
        let raw: Vec<u8> = (0..format.block_bytes() * 65)
            .map(|i| (i * 89 + i / 7) as u8)
            .collect();
        let mut whole = vec![0.0; 65 * format.block_len()];
        dequantize(format, &raw, &mut whole);
        let mut one = vec![0.0; format.block_len()];
        for (block, whole) in raw
            .chunks(format.block_bytes())
            .zip(whole.chunks(format.block_len()))
        {
            dequantize(format, block, &mut one);
            assert!(
                one.iter()
                    .map(|v| v.to_bits())
                    .eq(whole.iter().map(|v| v.to_bits())),
                "{format}"
            );
        }
        dequantize(format, &[], &mut []);
    }
}

/// Q4_0 and Q5_1 by their definition, one value at a time, on every combination of bits.
#[test]
fn legacy_formats_follow_their_definition() {
    let scale = half::f16::from_f32(-0.37);
    let minimum = half::f16::from_f32(1.9);
    for seed in 0..=255u8 {
        let packed: Vec<u8> = (0..16u8)
            .map(|i| seed.wrapping_mul(31).wrapping_add(i * 17))
            .collect();
        let fifth = u32::from(seed).wrapping_mul(0x0123_4567);
        let nibble = |i: usize| {
            if i < 16 {
                packed[i] & 15
            } else {
                packed[i - 16] >> 4
            }
        };

        let block = [&scale.to_le_bytes()[..], &packed].concat();
        let mut out = [0.0; 32];
        dequantize(BlockFormat::Q4_0, &block, &mut out);
        for (i, got) in out.iter().enumerate() {
            assert_eq!(*got, scale.to_f32() * (f32::from(nibble(i)) - 8.0));
        }

        let head = [scale.to_le_bytes(), minimum.to_le_bytes()].concat();
        let block = [&head[..], &fifth.to_le_bytes(), &packed].concat();
        dequantize(BlockFormat::Q5_1, &block, &mut out);
        for (i, got) in out.iter().enumerate() {
            let q = u32::from(nibble(i)) + (fifth >> i & 1) * 16;
            assert_eq!(*got, scale.to_f32() * q as f32 + minimum.to_f32());
        }
    }
}

#[test]
fn half_precision_is_exact_for_all_bit_patterns() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let mut f16 = vec![0.0; 65536];
    let mut bf16 = vec![0.0; 65536];
    f16_to_f32(&bytes, &mut f16);
    bf16_to_f32(&bytes, &mut bf16);
    for bits in 0..=u16::MAX {
        for (got, expected) in [
            (
                f16[usize::from(bits)],
                half::f16::from_bits(bits).to_f32_const(),
            ),
            (
                bf16[usize::from(bits)],
                half::bf16::from_bits(bits).to_f32_const(),
            ),
        ] {
            let equal = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
            assert!(equal, "{bits:#06x}: {got} is not {expected}");
        }
    }
}

#[test]
fn plain_floats_need_no_alignment() {
    for n in [0, 1, 31, 63, 64, 65] {
        let values: Vec<f32> = (0..n).map(|i| i as f32 * 0.7 - 9.0).collect();
        let mut bytes = vec![0xff];
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let mut out = vec![0.0; n];
        f32_from_le_bytes(&bytes[1..], &mut out);
        assert_eq!(out, values);
    }
}

#[test]
#[should_panic(expected = "Q8_0: 33 bytes of blocks do not make 32 values")]
fn wrong_lengths_are_refused() {
    dequantize(BlockFormat::Q8_0, &[0; 33], &mut [0.0; 32]);
}

//! Weights in FP8.

use super::products::multiply;
use super::*;
use crate::linear::fp8::{Fp8Scales, GROUP};

/// What a code stands for: the largest is 448.
pub(super) fn value(code: u8) -> f32 {
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let size = match (exponent, code & 7) {
        (15, 7) => f32::NAN,
        (0, _) => fraction / 8.0 * 2.0f32.powi(-6),
        _ => (1.0 + fraction / 8.0) * 2.0f32.powi(exponent - 7),
    };
    if code < 128 { size } else { -size }
}

/// The values of rows, each number multiplied by its scale.
fn widen(codes: &[u8], scales: &[Fp8Scales], [n_rows, k]: [usize; 2]) -> Vec<f32> {
    let n_own_rows = n_rows / scales.len();
    let rows = codes.chunks(k).enumerate();
    rows.flat_map(|(row, codes)| {
        let own = scales[row / n_own_rows].of_row(row % n_own_rows, k.div_ceil(GROUP));
        let groups = codes.chunks(GROUP).zip(own);
        groups.flat_map(|(codes, &scale)| codes.iter().map(move |&code| value(code) * scale))
    })
    .collect()
}

/// A matrix of these codes, from as many sources as there are scales.
pub(super) fn upload(
    device: &Device,
    codes: &[u8],
    scales: Vec<Fp8Scales>,
    shape @ [n_rows, k]: [usize; 2],
) -> Weights {
    let values = widen(codes, &scales, shape);
    let sources = codes.chunks(n_rows / scales.len() * k).map(<[u8]>::to_vec);
    let sources = sources.zip(scales).collect();
    Weights {
        matrix: Matrix::bring_fp8(device, sources, shape).expect("memory"),
        values,
    }
}

/// Scales of blocks that no tile ends with. They have four bits, so that bfloat16 and half precision have
/// every value; `factor` is what they have beside these.
pub(super) fn random_scales(
    [n_rows, k]: [usize; 2],
    factor: f32,
    random: &mut Random,
) -> Fp8Scales {
    let (block_rows, first_row) = (5, 2);
    let n = (first_row + n_rows).div_ceil(block_rows) * k.div_ceil(GROUP);
    let mut scale = || (8 + random.next() % 8) as f32 / 4096.0 * factor;
    Fp8Scales {
        values: (0..n).map(|_| scale()).collect(),
        block_rows,
        first_row,
    }
}

/// Numbers by chance, but for NaN, as one source or two.
pub(super) fn random_weights(
    device: &Device,
    shape @ [n_rows, k]: [usize; 2],
    random: &mut Random,
) -> Weights {
    let n_sources = if n_rows.is_multiple_of(2) { 2 } else { 1 };
    let code = |code: u8| if code & 127 == 127 { code - 1 } else { code };
    let codes: Vec<u8> = (0..n_rows * k).map(|_| code(random.next() as u8)).collect();
    if codes.is_empty() {
        let matrix = Matrix::upload(device, Encoding::Fp8, &codes, shape).expect("memory");
        return Weights {
            matrix,
            values: Vec::new(),
        };
    }
    let own = [n_rows / n_sources, k];
    let scales = (0..n_sources).map(|_| random_scales(own, 1.0, random));
    upload(device, &codes, scales.collect(), shape)
}

#[test]
fn every_code_stands_for_its_number() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Exact).expect("memory");
    let codes: Vec<u8> = (0..=255).collect();
    let own = Matrix::upload(&device, Encoding::Fp8, &codes, [1, 256]).expect("memory");
    assert_eq!(own.encoding(), Encoding::Fp8);
    assert_eq!(own.bytes(), 256 + 2 * 4);
    let tokens = floats(&device, &[0.0]);
    let mut out = Rows::new(&device, 1, 1).expect("memory");
    linear
        .embed(&own, (&tokens, 0), 1, 1.0, &mut out)
        .expect("rows");
    for (code, got) in codes.into_iter().zip(read(&device, &out)) {
        let expected = value(code);
        let is_same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
        assert!(is_same, "{code}: {got}, expected {expected}");
    }
}

#[test]
fn a_scale_may_have_any_bits() {
    let device = Device::for_tests();
    let shape @ [n_rows, k] = [21, 400];
    let mut random = Random(3);
    let codes: Vec<u8> = (0..n_rows * k)
        .map(|_| random.next() as u8 & 0x7e)
        .collect();
    // Sizes that half precision does not have.
    for factor in [1.0 / 3.0, 1e-9, 1e9] {
        let scales = random_scales(shape, factor, &mut random);
        let own = upload(&device, &codes, vec![scales], shape);
        for has_bf16 in [true, false] {
            let chip = Chip {
                has_bf16,
                ..chip(16)
            };
            let linear = Linear::on_chip(&device, Precision::Fast, chip).expect("memory");
            for n in [2, 12, 70] {
                // Numbers that nothing rounds.
                let x: Vec<f32> = (0..n * k).map(|_| (random.next() % 256) as f32).collect();
                let got = multiply(&device, &linear, &mut rows(&device, &x, k), &own.matrix);
                for (i, got) in got.into_iter().enumerate() {
                    let (column, row) = (i / n_rows, i % n_rows);
                    let (sum, size) = product(&own.values[row * k..][..k], &x[column * k..][..k]);
                    check(
                        &format!("{n} rows, {factor}: {column}, {row}"),
                        got,
                        sum,
                        size,
                    );
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "1 scales for [2, 200]")]
fn too_few_scales_are_refused() {
    let scales = Fp8Scales {
        values: vec![1.0],
        block_rows: 128,
        first_row: 0,
    };
    let source = (vec![0u8; 400], scales);
    let _ = Matrix::bring_fp8(&Device::for_tests(), vec![source], [2, 200]);
}

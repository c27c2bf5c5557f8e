//! Weights in FP8.

use super::gated::{ACTIVATIONS, Case, check_gated};
use super::products::{check_product, check_several, multiply};
use super::*;
use crate::linear::rows::Fp8Scale;

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
fn widen(codes: &[u8], scales: &[GroupScales], [n_rows, k]: [usize; 2]) -> Vec<f32> {
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
    scales: Vec<GroupScales>,
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
) -> GroupScales {
    let (block_rows, first_row) = (5, 2);
    let n = (first_row + n_rows).div_ceil(block_rows) * k.div_ceil(GROUP);
    let mut scale = || (8 + random.next() % 8) as f32 / 4096.0 * factor;
    GroupScales {
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

/// Whether a kernel that multiplied weights of this encoding had activations in eight bits.
pub(super) fn is_seen(encoding: Encoding, x: &Rows) -> bool {
    let wanted = match encoding {
        Encoding::Fp8 => Fp8Scale::Float,
        Encoding::Block(BlockFormat::MXFP4) => Fp8Scale::Powers,
        _ => return false,
    };
    x.has_fp8() == Some(wanted)
}

/// The activations as they were rounded.
pub(super) fn from_fp8(device: &Device, x: &mut Rows) -> Vec<f32> {
    let [n, k] = [x.n_rows(), x.width()];
    let scale = x.has_fp8().unwrap_or(Fp8Scale::Float);
    let fp8 = x.fp8(scale).expect("rounded");
    let (mut codes, n_groups) = (vec![0; n * k.next_multiple_of(GROUP)], k.div_ceil(GROUP));
    device.download(&fp8.codes, 0, &mut codes).expect("a copy");
    let mut bytes = vec![0; n * n_groups * 4];
    device.download(&fp8.scales, 0, &mut bytes).expect("a copy");
    let (mut scales, n_values) = match scale {
        Fp8Scale::Float => (vec![0.0; n * n_groups], GROUP),
        Fp8Scale::Powers => {
            let power = |&power: &u8| 2.0f32.powi(i32::from(power) - 127);
            (bytes.iter().map(power).collect(), UNIT)
        }
    };
    if scale == Fp8Scale::Float {
        f32_from_le_bytes(&bytes, &mut scales);
    }
    let n_scales = scales.len() / n;
    let mut all = Vec::new();
    for (codes, scales) in codes.chunks(n_groups * GROUP).zip(scales.chunks(n_scales)) {
        assert!(codes[k..].iter().all(|&code| code == 0));
        all.extend((0..k).map(|i| value(codes[i]) * scales[i / n_values]));
    }
    all
}

/// One whose tensor cores multiply FP8.
pub(super) fn new_chip(n_multiprocessors: usize) -> Chip {
    Chip {
        has_fp8: true,
        has_mx: true,
        ..chip(n_multiprocessors)
    }
}

#[test]
fn products_are_those_of_activations_in_eight_bits() {
    let device = Device::for_tests();
    let fp8 = Encoding::Fp8;
    // Small tiles, whose width several blocks share, and large ones.
    for n_multiprocessors in [1, 64] {
        let linear = Linear::on_chip(&device, Precision::Fast, new_chip(n_multiprocessors));
        let linear = linear.expect("memory");
        for shape in [
            [5, 16, 9],
            [65, 400, 10],
            [7, 1040, 33],
            [66, 130, 64],
            [129, 320, 65],
            [260, 128, 130],
        ] {
            check_product(&device, &linear, Precision::Fast, fp8, shape);
        }
        check_several(&device, &linear, 12, [fp8, Encoding::BF16]);
        for (activation, shape) in
            ACTIVATIONS
                .into_iter()
                .zip([[21, 256, 9], [37, 100, 40], [70, 384, 65]])
        {
            let case = Case {
                precision: Precision::Fast,
                encodings: [fp8; 2],
                activation,
                shape,
            };
            check_gated(&device, &linear, &case);
        }
    }
}

#[test]
fn rounding_keeps_four_bits_and_the_largest_number_of_a_group() {
    let device = Device::for_tests();
    for size in [1e-30f32, 1e-3, 1.0, 1e30] {
        for k in [1, 127, 129, 2500] {
            let mut random = Random(k as u64);
            let values: Vec<f32> = (0..3 * k).map(|_| random.unit() * size).collect();
            let got = from_fp8(&device, &mut rows(&device, &values, k));
            for (row, got) in values.chunks(k).zip(got.chunks(k)) {
                for (group, got) in row.chunks(GROUP).zip(got.chunks(GROUP)) {
                    let largest = group.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                    for (&x, &got) in group.iter().zip(got) {
                        // And a step where numbers have no leading one.
                        let limit = x.abs() / 15.9 + largest / 448.0 / 1023.0;
                        assert!((x - got).abs() <= limit, "{x} became {got} of {largest}");
                        if x.abs() == largest {
                            assert!((x - got).abs() <= 1e-6 * largest, "{x} became {got}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_group() {
    let device = Device::for_tests();
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![1.0; 2 * 256];
        values[40] = odd;
        let got = from_fp8(&device, &mut rows(&device, &values, 256));
        assert!(!got[40].is_finite(), "{odd} became {}", got[40]);
        assert_eq!(got[128..], [1.0; 384]);
    }
    let zeros = from_fp8(&device, &mut rows(&device, &[0.0, 1e-40, 0.0], 3));
    assert_eq!(zeros, [0.0; 3]);
}

/// The error of products of these activations, relative to what is exact, of all together.
pub(super) fn error_of(device: &Device, chip: Chip, own: &Weights, x: &[f32], k: usize) -> f64 {
    let linear = Linear::on_chip(device, Precision::Fast, chip).expect("memory");
    let got = multiply(device, &linear, &mut rows(device, x, k), &own.matrix);
    let n_rows = own.matrix.n_rows();
    let (mut off, mut all) = (0.0, 0.0);
    for (i, got) in got.into_iter().enumerate() {
        let (column, row) = (i / n_rows, i % n_rows);
        let (exact, _) = product(&own.values[row * k..][..k], &x[column * k..][..k]);
        off += (f64::from(got) - exact).powi(2);
        all += exact.powi(2);
    }
    (off / all).sqrt()
}

/// A matrix as checkpoints have it: numbers that are normally distributed, rounded.
fn normal_weights(
    device: &Device,
    shape @ [n_rows, k]: [usize; 2],
    random: &mut Random,
) -> Weights {
    let scales = GroupScales {
        values: vec![1.0 / 448.0 / 3.0; n_rows.div_ceil(128) * k.div_ceil(GROUP)],
        block_rows: 128,
        first_row: 0,
    };
    let codes: Vec<u8> = (0..n_rows * k)
        .map(|_| nearest(normal(random) * 149.0))
        .collect();
    upload(device, &codes, vec![scales], shape)
}

/// A sum of uniform numbers, which is nearly normally distributed.
pub(super) fn normal(random: &mut Random) -> f32 {
    (0..12).map(|_| random.unit() / 2.0).sum()
}

/// The code of the nearest number.
fn nearest(x: f32) -> u8 {
    let distance = |code: &u8| (value(*code) - x).abs();
    let codes = (0..=255).filter(|code| code & 127 != 127);
    codes
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .expect("there are codes")
}

/// Normally distributed numbers, of which one in 64 is many times as large.
pub(super) fn with_outliers(n: usize, random: &mut Random) -> Vec<f32> {
    let outlier = |i: usize| if i % 64 == 17 { 100.0 } else { 1.0 };
    (0..n).map(|i| normal(random) * outlier(i)).collect()
}

#[test]
fn eight_bits_of_activations_are_as_exact_as_they_can_be() {
    let device = Device::for_tests();
    let [n_rows, k, n] = [64, 1024, 72];
    let mut random = Random(11);
    let own = normal_weights(&device, [n_rows, k], &mut random);
    let plain: Vec<f32> = (0..n * k).map(|_| normal(&mut random)).collect();
    let outliers = with_outliers(n * k, &mut random);
    for (what, x, widened, rounded) in [
        ("normal", &plain, 2.5e-3, 3e-2),
        ("with outliers", &outliers, 2.5e-3, 3e-2),
    ] {
        let of = |chip| error_of(&device, chip, &own, x, k);
        let errors = [of(chip(4)), of(new_chip(4))];
        let by_warpgroups = of(hopper(1));
        println!("{what}: {by_warpgroups:.2e} by warpgroups");
        assert!(
            (by_warpgroups - errors[1]).abs() < 1e-5,
            "{what}: {by_warpgroups}"
        );
        println!(
            "{what}: {:.2e} in bfloat16, {:.2e} in eight bits",
            errors[0], errors[1]
        );
        assert!(errors[0] < widened, "{what}: {}", errors[0]);
        assert!(
            errors[0] < errors[1] && errors[1] < rounded,
            "{what}: {}",
            errors[1]
        );
    }
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
    let scales = GroupScales {
        values: vec![1.0],
        block_rows: 128,
        first_row: 0,
    };
    let source = (vec![0u8; 400], scales);
    let _ = Matrix::bring_fp8(&Device::for_tests(), vec![source], [2, 200]);
}

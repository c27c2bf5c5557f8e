//! Weights in MXFP4 where tensor cores multiply them with activations in MXFP8.

use super::fp8::{error_of, from_fp8, new_chip, normal, with_outliers};
use super::gated::{ACTIVATIONS, Case, check_gated};
use super::products::{check_product, check_several};
use super::*;
use crate::linear::rows::Fp8Scale;

const MXFP4: Encoding = Encoding::Block(BlockFormat::MXFP4);

#[test]
fn products_are_those_of_activations_in_eight_bits() {
    let device = Device::for_tests();
    // Small tiles, whose width several blocks share, and large ones.
    for n_multiprocessors in [1, 64] {
        let linear = Linear::on_chip(&device, Precision::Fast, new_chip(n_multiprocessors));
        let linear = linear.expect("memory");
        // Widths that end with a half of a step, and in each place of a group.
        for shape in [
            [5, 32, 9],
            [65, 416, 10],
            [7, 1056, 33],
            [66, 192, 64],
            [129, 320, 65],
            [260, 128, 130],
            [70, 1184, 12],
        ] {
            check_product(&device, &linear, Precision::Fast, MXFP4, shape);
        }
        check_several(&device, &linear, 12, [MXFP4, Encoding::BF16]);
        let shapes = [[21, 256, 9], [37, 96, 40], [70, 384, 65]];
        for (activation, shape) in ACTIVATIONS.into_iter().zip(shapes) {
            let case = Case {
                precision: Precision::Fast,
                encodings: [MXFP4; 2],
                activation,
                shape,
            };
            check_gated(&device, &linear, &case);
        }
    }
}

/// The rows with a power of two for each 32 values.
fn rounded(device: &Device, values: &[f32], k: usize) -> Vec<f32> {
    let mut x = rows(device, values, k);
    x.fp8(Fp8Scale::Powers).expect("rounded");
    from_fp8(device, &mut x)
}

#[test]
fn rounding_keeps_four_bits() {
    let device = Device::for_tests();
    for size in [1e-30f32, 1e-3, 1.0, 448.0, 1e30] {
        for k in [1, 31, 33, 2500] {
            let mut random = Random(k as u64);
            let values: Vec<f32> = (0..3 * k).map(|_| random.unit() * size).collect();
            let got = rounded(&device, &values, k);
            for (row, got) in values.chunks(k).zip(got.chunks(k)) {
                for (unit, got) in row.chunks(UNIT).zip(got.chunks(UNIT)) {
                    let largest = unit.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                    for (&x, &got) in unit.iter().zip(got) {
                        // And half a step where numbers have no leading one.
                        let limit = x.abs() / 15.9 + largest / 224.0 / 1023.0;
                        assert!((x - got).abs() <= limit, "{x} became {got} of {largest}");
                    }
                }
            }
        }
    }
    // Powers of two are not rounded, and neither is the largest number.
    for x in [448.0, 2.0, 1.75 * 256.0 * 1024.0, 2.0f32.powi(-100), 0.0] {
        assert_eq!(rounded(&device, &[x, -x], 2), [x, -x]);
    }
}

#[test]
fn what_is_no_number_stays_in_its_unit() {
    let device = Device::for_tests();
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![1.0; 2 * 64];
        values[20] = odd;
        let got = rounded(&device, &values, 64);
        assert!(!got[20].is_finite(), "{odd} became {}", got[20]);
        assert_eq!(got[32..], [1.0; 96]);
    }
}

#[test]
fn eight_bits_of_activations_are_as_exact_as_they_can_be() {
    let device = Device::for_tests();
    let [n_rows, k, n] = [64, 1024, 32];
    let mut random = Random(11);
    let own = weights(&device, MXFP4, [n_rows, k], &mut random);
    let plain: Vec<f32> = (0..n * k).map(|_| normal(&mut random)).collect();
    let outliers = with_outliers(n * k, &mut random);
    for (what, x) in [("normal", &plain), ("with outliers", &outliers)] {
        let of = |chip| error_of(&device, chip, &own, x, k);
        let errors = [of(chip(4)), of(new_chip(4))];
        println!(
            "{what}: {:.2e} in bfloat16, {:.2e} in MXFP8",
            errors[0], errors[1]
        );
        assert!(errors[0] < 2.5e-3, "{what}: {}", errors[0]);
        assert!(
            errors[0] < errors[1] && errors[1] < 3e-2,
            "{what}: {}",
            errors[1]
        );
    }
}

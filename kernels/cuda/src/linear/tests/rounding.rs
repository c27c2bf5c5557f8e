//! Activations, rounded.

use super::*;

/// The largest difference that rounding to eight bits makes in each unit.
fn limits(x: &[f32]) -> Vec<f32> {
    let largest = |unit: &[f32]| unit.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    x.chunks(UNIT)
        .map(|unit| largest(unit) / 254.0 * 1.0001)
        .collect()
}

#[test]
fn rounding_takes_no_more_than_half_a_step() {
    let device = Device::for_tests();
    for (n, k) in [(1, 32), (3, 1024), (2, 3200)] {
        let mut random = Random(k as u64);
        let mut x: Vec<f32> = (0..n * k).map(|_| random.unit()).collect();
        x[..16].fill(0.0);
        let got = from_int8(&device, &mut rows(&device, &x, k));
        let limits = limits(&x);
        for (i, (x, got)) in x.iter().zip(got).enumerate() {
            assert!(
                (x - got).abs() <= limits[i / UNIT],
                "{n}, {k}: {x} became {got}"
            );
        }
    }
}

#[test]
fn what_stands_beside_a_large_value_is_not_lost() {
    let device = Device::for_tests();
    let mut random = Random(3);
    let (n, k) = (3, 1280);
    let mut x: Vec<f32> = (0..n * k).map(|_| random.unit()).collect();
    // In two units of two rows; the one must not hide the other.
    for row in [0, 2] {
        x[row * k + 7] = 10_000.0;
        x[row * k + 300] = -50.0;
    }
    let got = from_int8(&device, &mut rows(&device, &x, k));
    for (i, (x, got)) in x.iter().zip(got).enumerate() {
        let (row, unit) = (i / k, i % k / UNIT);
        let limit = match (row, unit) {
            // The second scale is half of the first one's step, divided by 127.
            (0 | 2, 0) => 10_000.0 / 254.0 / 254.0,
            (0 | 2, 9) => 50.0 / 254.0 / 254.0,
            _ => 1.0 / 254.0,
        };
        assert!(
            (x - got).abs() <= 1.001 * limit,
            "row {row}, unit {unit}: {x} became {got}"
        );
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for encoding in [Encoding::Block(BlockFormat::Q8_0), Encoding::BF16] {
            for n in [1, 9] {
                let own = weights(&device, encoding, [4, 64], &mut Random(2));
                let mut values = vec![1.0; n * 64];
                values[40] = odd;
                let mut x = rows(&device, &values, 64);
                let mut out = Rows::new(&device, 1, 1).expect("memory");
                let product = Product {
                    projection: Projection {
                        matrix: &own.matrix,
                        bias: None,
                    },
                    output: Output::Replace(&mut out),
                };
                linear.multiply(&mut x, &mut [product]).expect("a product");
                let got = read(&device, &out);
                assert!(
                    got[..4].iter().all(|value| !value.is_finite()),
                    "{odd} {encoding:?} {n}: {got:?}"
                );
                assert!(
                    got[4..].iter().all(|value| value.is_finite()),
                    "{odd} {encoding:?} {n}: {got:?}"
                );
            }
        }
    }
}

#[test]
fn the_smallest_and_the_largest_numbers_are_rounded() {
    let device = Device::for_tests();
    for size in [1e-38f32, 1e-30, 3e38] {
        let mut random = Random(9);
        let x: Vec<f32> = (0..64).map(|_| random.unit() * size).collect();
        let got = from_int8(&device, &mut rows(&device, &x, 64));
        for (x, got) in x.iter().zip(got) {
            assert!((x - got).abs() <= size / 127.0 + 1e-36, "{x} became {got}");
        }
    }
}

#[test]
fn changed_rows_are_rounded_anew() {
    let device = Device::for_tests();
    let mut x = rows(&device, &[1.0; 64], 32);
    assert_eq!(from_int8(&device, &mut x), [1.0; 64]);
    let bytes: Vec<u8> = [2.0f32; 64]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    device.upload(&bytes, x.change(), 0).expect("a copy");
    assert_eq!(from_int8(&device, &mut x), [2.0; 64]);
    // More rows than there was room for, and of another width.
    x.reset(5, 96).expect("memory");
    let bytes: Vec<u8> = [3.0f32; 480]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    device.upload(&bytes, x.change(), 0).expect("a copy");
    assert_eq!(from_int8(&device, &mut x), [3.0; 480]);
}

#[test]
fn rows_are_rounded_to_bfloat16_and_filled_up() {
    let device = Device::for_tests();
    for k in [1, 31, 33, 1500] {
        let mut random = Random(k as u64);
        let values: Vec<f32> = (0..3 * k).map(|_| random.unit()).collect();
        let mut x = rows(&device, &values, k);
        let padded = k.next_multiple_of(UNIT);
        let mut bytes = vec![0xff; 3 * padded * 2];
        device
            .download(x.bf16().expect("rounded"), 0, &mut bytes)
            .expect("a copy");
        let mut got = vec![0.0; 3 * padded];
        bf16_to_f32(&bytes, &mut got);
        for (got, x) in got.chunks(padded).zip(values.chunks(k)) {
            assert_eq!(got[..k], to_bf16(x));
            assert!(got[k..].iter().all(|&value| value == 0.0));
        }
    }
}

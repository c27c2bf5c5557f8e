//! Products on devices whose tensor cores have half precision alone.

use super::*;

fn old_chip(n_multiprocessors: usize) -> Chip {
    Chip {
        has_bf16: false,
        ..chip(n_multiprocessors)
    }
}

fn to_f16(values: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0; values.len() * 2];
    f32_to_f16(values, &mut bytes);
    let mut rounded = vec![0.0; values.len()];
    f16_to_f32(&bytes, &mut rounded);
    rounded
}

/// The activations as they were rounded.
fn from_f16(device: &Device, x: &mut Rows) -> Vec<f32> {
    let [n, width] = [x.n_rows(), x.width()];
    let padded = width.next_multiple_of(UNIT);
    let halves = x.f16().expect("rounded");
    let mut bytes = vec![0; n * padded * 2];
    device
        .download(&halves.values, 0, &mut bytes)
        .expect("a copy");
    let mut values = vec![0.0; n * padded];
    f16_to_f32(&bytes, &mut values);
    let mut bytes = vec![0; n * 4];
    device
        .download(&halves.scales, 0, &mut bytes)
        .expect("a copy");
    let mut scales = vec![0.0; n];
    f32_from_le_bytes(&bytes, &mut scales);
    let mut all = Vec::new();
    for (row, scale) in values.chunks(padded).zip(scales) {
        assert!(row[width..].iter().all(|&value| value == 0.0));
        all.extend(row[..width].iter().map(|value| value * scale));
    }
    all
}

/// Sizes of numbers by chance: from one to beyond what half precision holds.
fn wide(n: usize, random: &mut Random) -> Vec<f32> {
    let sizes = [1.0, 70.0, 1e5, 3e7];
    let mut value = |i: usize| random.unit() * sizes[i / 7 % 4];
    (0..n).map(&mut value).collect()
}

fn check_product(device: &Device, linear: &Linear, encoding: Encoding, [n_rows, k, n]: [usize; 3]) {
    let mut random = Random((n_rows + k + n) as u64);
    let own = weights(device, encoding, [n_rows, k], &mut random);
    let values = wide(n * k, &mut random);
    let before = activations(n * n_rows, &mut random);
    let bias = activations(n_rows, &mut random);
    let (mut x, mut out) = (rows(device, &values, k), rows(device, &before, n_rows));
    let projection = Projection {
        matrix: &own.matrix,
        bias: Some(&floats(device, &bias)),
    };
    let output = Output::Add(&mut out);
    linear
        .multiply(&mut x, &mut [Product { projection, output }])
        .expect("a product");
    let (weights, rounded) = (to_f16(&own.values), from_f16(device, &mut x));
    for (i, got) in read(device, &out).into_iter().enumerate() {
        let (column, row) = (i / n_rows, i % n_rows);
        let what = format!("{encoding:?} {:?} at {column}, {row}", [n_rows, k, n]);
        let more = f64::from(before[i]) + f64::from(bias[row]);
        let of =
            |weights: &[f32], x: &[f32]| product(&weights[row * k..][..k], &x[column * k..][..k]);
        let (sum, size) = of(&weights, &rounded);
        check(&what, got, sum + more, size + more.abs());
        // Three bits more than bfloat16 has: each factor is off by 2^-11 at most.
        let (exact, size) = of(&own.values, &values);
        let error = (f64::from(got) - exact - more).abs();
        assert!(
            error <= 1.1e-3 * size + 1e-6 * more.abs(),
            "{what}: off by {error} of {size}"
        );
    }
}

#[test]
fn products_are_those_of_numbers_in_half_precision() {
    let device = Device::for_tests();
    for n_multiprocessors in [1, 64] {
        let linear = Linear::on_chip(&device, Precision::Fast, old_chip(n_multiprocessors));
        let linear = linear.expect("memory");
        for encoding in encodings().filter(|&encoding| encoding != Encoding::F32) {
            let least = least_len(encoding);
            for [n_rows, units, n] in [[65, 2, 9], [7, 4, 33], [130, 1, 70]] {
                check_product(&device, &linear, encoding, [n_rows, units * least, n]);
            }
        }
        for k in [7, 33, 100, 520] {
            check_product(&device, &linear, Encoding::F16, [11, k, 40]);
            check_product(&device, &linear, Encoding::BF16, [70, k, 10]);
        }
    }
}

#[test]
fn gates_are_of_scaled_products() {
    let device = Device::for_tests();
    let linear = Linear::on_chip(&device, Precision::Fast, old_chip(4)).expect("memory");
    let mut random = Random(6);
    let [n_rows, k, n] = [19, 64, 12];
    let encoding = Encoding::Block(BlockFormat::Q8_0);
    let pair = [(); 2].map(|()| weights(&device, encoding, [n_rows, k], &mut random));
    let [gate, up] = pair.each_ref().map(|own| Projection {
        matrix: &own.matrix,
        bias: None,
    });
    let values = activations(n * k, &mut random);
    let (mut x, mut out) = (
        rows(&device, &values, k),
        Rows::new(&device, 1, 1).expect("memory"),
    );
    linear
        .multiply_gated(&mut x, gate, up, Activation::Silu, &mut out)
        .expect("a product");
    let rounded = from_f16(&device, &mut x);
    for (i, got) in read(&device, &out).into_iter().enumerate() {
        let (column, row) = (i / n_rows, i % n_rows);
        let [(gate, gate_size), (up, up_size)] = pair.each_ref().map(|own| {
            let own = to_f16(&own.values);
            product(&own[row * k..][..k], &rounded[column * k..][..k])
        });
        let expected = gate / (1.0 + (-gate).exp()) * up;
        let size = 1.13 * gate_size * up_size;
        check(&format!("{column}, {row}"), got, expected, size);
    }
}

#[test]
fn rows_of_any_size_keep_eleven_bits() {
    let device = Device::for_tests();
    for (size, least) in [
        (1e-38f32, -24),
        (1e-33, -38),
        (1e-5, -38),
        (6e4, -38),
        (3e38, -38),
    ] {
        for k in [1, 31, 300, 1500] {
            let mut random = Random(k as u64);
            let values: Vec<f32> = (0..3 * k).map(|_| random.unit() * size).collect();
            let got = from_f16(&device, &mut rows(&device, &values, k));
            for (x, got) in values.iter().zip(got) {
                // And what is far below the largest one of the row is lost.
                let limit = x.abs() / 2048.0 + size * 2.0_f32.powi(least);
                assert!((x - got).abs() <= limit, "{x} became {got}");
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_row() {
    let device = Device::for_tests();
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![1.0; 2 * 64];
        values[40] = odd;
        let got = from_f16(&device, &mut rows(&device, &values, 64));
        assert!(!got[40].is_finite(), "{odd} became {}", got[40]);
        assert_eq!(got[64..], [1.0; 64]);
    }
}

//! Rows that are normalized where they are read.

use super::*;

const NUMBERS: (f32, f32) = (1e-5, 1.0);

/// The product of rows that are normalized by it, or before it.
fn product_of(
    device: &Device,
    linear: &Linear,
    matrix: &Matrix,
    [x, norm]: [&[f32]; 2],
    is_before: bool,
) -> Vec<f32> {
    let x = rows(device, x, matrix.row_len());
    let norm = floats(device, norm);
    let mut normed = Rows::new(device, 1, 1).expect("memory");
    normed.normalize(&x, &norm, NUMBERS).expect("noted");
    if is_before {
        normed.compute().expect("a norm");
    }
    let mut out = Rows::new(device, 1, 1).expect("memory");
    let product = Product {
        projection: Projection { matrix, bias: None },
        output: Output::Replace(&mut out),
    };
    let products = &mut [product];
    linear.multiply(&mut normed, products).expect("a product");
    read(device, &out)
}

#[test]
fn a_product_normalizes_as_a_norm_before_it_does() {
    let device = Device::for_tests();
    for (n_multiprocessors, precision) in [
        (1, Precision::Fast),
        (64, Precision::Fast),
        (1, Precision::Exact),
    ] {
        let linear = Linear::on_chip(&device, precision, chip(n_multiprocessors)).expect("memory");
        for encoding in [
            Encoding::F32,
            Encoding::F16,
            Encoding::BF16,
            Encoding::Fp8,
            Encoding::Block(BlockFormat::Q4K),
        ] {
            // So long that several warps share a row, and, where that may be, odd.
            for (n, k) in [(1, 2304), (3, 256), (8, 1280), (9, 256), (2, 257)] {
                let is_block = matches!(encoding, Encoding::Block(_));
                if is_block && k % 256 != 0 {
                    continue;
                }
                let mut random = Random((n * k) as u64);
                let own = weights(&device, encoding, [7, k], &mut random);
                let norm: Vec<f32> = (0..k).map(|_| random.unit()).collect();
                let x = activations(n * k, &mut random);
                let product =
                    |x, is_before| product_of(&device, &linear, &own.matrix, [x, &norm], is_before);
                let [got, wanted] = [false, true].map(|is_before| product(&x, is_before));
                let sizes = wanted
                    .chunks(7)
                    .map(|row| row.iter().map(|x| x.abs()).sum());
                let sizes: Vec<f32> = sizes.collect();
                for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                    let error = (got - wanted).abs();
                    assert!(
                        error <= 1e-4 * sizes[i / 7],
                        "{encoding:?} {n} {k}: {got}, expected {wanted}"
                    );
                }
                let alone = product(&x[..k], false);
                if n <= 8 || precision == Precision::Exact {
                    assert_eq!(got[..7], alone, "{encoding:?} {n} {k}");
                }
            }
        }
    }
}

#[test]
fn normalized_rows_are_added() {
    let device = Device::for_tests();
    let mut x = rows(&device, &[1.0, -1.0, 3.0, 3.0], 2);
    let mut normed = Rows::new(&device, 1, 1).expect("memory");
    let weight = floats(&device, &[0.0, 1.0]);
    normed.normalize(&x, &weight, (0.0, 1.0)).expect("noted");
    let mut sum = rows(&device, &[10.0, 20.0, 30.0, 40.0], 2);
    sum.add(&normed).expect("a sum");
    assert_eq!(read(&device, &sum), [11.0, 18.0, 31.0, 42.0]);
    normed.compute().expect("a norm");
    assert_eq!(read(&device, &normed), [1.0, -2.0, 1.0, 2.0]);
    x.add(&normed).expect("a sum");
    assert_eq!(read(&device, &x), [2.0, -3.0, 4.0, 5.0]);
}

#[test]
#[should_panic(expected = "changed before they were normalized")]
fn what_is_normalized_must_not_change() {
    let device = Device::for_tests();
    let mut x = rows(&device, &[1.0; 32], 32);
    let mut normed = Rows::new(&device, 1, 1).expect("memory");
    let weight = floats(&device, &[1.0; 32]);
    normed.normalize(&x, &weight, NUMBERS).expect("noted");
    x.change();
    let _ = normed.compute();
}

#[test]
#[should_panic(expected = "yet to be normalized")]
fn values_that_were_not_computed_are_not_read() {
    let device = Device::for_tests();
    let x = rows(&device, &[1.0; 32], 32);
    let mut normed = Rows::new(&device, 1, 1).expect("memory");
    let weight = floats(&device, &[1.0; 32]);
    normed.normalize(&x, &weight, NUMBERS).expect("noted");
    normed.values();
}

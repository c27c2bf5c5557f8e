//! Plain products.

use super::*;

/// Multiplies and compares: `[n_rows, k]` weights with `n` rows of activations.
pub(super) fn check_product(
    device: &Device,
    linear: &Linear,
    precision: Precision,
    encoding: Encoding,
    shape: [usize; 3],
) {
    let [n_rows, k, n] = shape;
    let mut random = Random((n_rows * 1000 + k * 10 + n) as u64);
    let own = weights(device, encoding, [n_rows, k], &mut random);
    let mut x = rows(device, &activations(n * k, &mut random), k);
    let mut out = Rows::new(device, 1, 1).expect("memory");
    linear
        .multiply(
            &mut x,
            &mut [Product {
                projection: Projection {
                    matrix: &own.matrix,
                    bias: None,
                },
                output: Output::Replace(&mut out),
            }],
        )
        .expect("a product");
    assert_eq!([out.n_rows(), out.width()], [n, n_rows]);
    let got = read(device, &out);
    let seen = seen(device, precision, &mut x, encoding, &own.values);
    for (i, &got) in got.iter().enumerate() {
        let (column, row) = (i / n_rows, i % n_rows);
        let (sum, size) = product(&seen.weights[row * k..][..k], &seen.x[column * k..][..k]);
        check(
            &format!("{encoding:?} {shape:?} {precision:?} at {column}, {row}"),
            got,
            sum,
            size,
        );
    }
}

fn shapes(least: usize) -> [[usize; 3]; 10] {
    [
        [1, least, 1],
        [5, 3 * least, 2],
        [67, least, 3],
        // So long that several warps share a row.
        [3, 2048 / least * least + least, 1],
        [9, 2 * least, 8],
        [65, 2 * least, 9],
        [130, least, 17],
        [7, 1024 / least * least + least, 33],
        [66, 2 * least, 64],
        [129, 5 * least, 65],
    ]
}

#[test]
fn products_are_those_of_the_rounded_activations() {
    let device = Device::for_tests();
    // With many multiprocessors tiles are small and shared; with one they are large.
    for n_multiprocessors in [1, 64] {
        let linear = Linear::on_chip(&device, Precision::Fast, chip(n_multiprocessors));
        let linear = linear.expect("memory");
        for encoding in encodings() {
            for shape in shapes(least_len(encoding)) {
                check_product(&device, &linear, Precision::Fast, encoding, shape);
            }
        }
    }
}

#[test]
fn exact_products_round_nothing() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Exact).expect("memory");
    for encoding in encodings() {
        for shape in shapes(least_len(encoding)).into_iter().step_by(3) {
            check_product(&device, &linear, Precision::Exact, encoding, shape);
        }
    }
}

#[test]
fn rows_of_any_length_are_multiplied() {
    let device = Device::for_tests();
    for precision in [Precision::Fast, Precision::Exact] {
        let linear = Linear::new(&device, precision).expect("memory");
        for encoding in [Encoding::F32, Encoding::F16, Encoding::BF16, Encoding::Fp8] {
            for k in [1, 7, 31, 33, 65, 100] {
                for n in [1, 3, 9, 40] {
                    check_product(&device, &linear, precision, encoding, [11, k, n]);
                }
            }
        }
    }
}

#[test]
fn formats_without_a_kernel_are_widened() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    for format in [BlockFormat::IQ3S, BlockFormat::IQ2XXS, BlockFormat::NVFP4] {
        for n in [2, 10] {
            let mut random = Random(n as u64);
            let own = weights(&device, Encoding::Block(format), [5, 512], &mut random);
            assert_eq!(own.matrix.encoding(), Encoding::F32);
            assert_eq!(own.matrix.bytes(), 5 * 512 * 4);
            let values = activations(n * 512, &mut random);
            let mut x = rows(&device, &values, 512);
            let got = multiply(&device, &linear, &mut x, &own.matrix);
            for (i, got) in got.into_iter().enumerate() {
                let (sum, size) = product(
                    &own.values[i % 5 * 512..][..512],
                    &values[i / 5 * 512..][..512],
                );
                check(&format!("{format} {n} rows"), got, sum, size);
            }
        }
    }
}

pub(super) fn multiply(
    device: &Device,
    linear: &Linear,
    x: &mut Rows,
    matrix: &Matrix,
) -> Vec<f32> {
    let mut out = Rows::new(device, 1, 1).expect("memory");
    let product = Product {
        projection: Projection { matrix, bias: None },
        output: Output::Replace(&mut out),
    };
    linear.multiply(x, &mut [product]).expect("a product");
    read(device, &out)
}

#[test]
fn a_row_does_not_depend_on_the_batch() {
    let device = Device::for_tests();
    for precision in [Precision::Fast, Precision::Exact] {
        let linear = Linear::new(&device, precision).expect("memory");
        for encoding in encodings() {
            let k = 1024;
            let mut random = Random(k as u64);
            let own = weights(&device, encoding, [6, k], &mut random);
            let values = activations(8 * k, &mut random);
            let together = multiply(
                &device,
                &linear,
                &mut rows(&device, &values, k),
                &own.matrix,
            );
            for n in [1, 2, 3, 5] {
                let mut x = rows(&device, &values[..n * k], k);
                let few = multiply(&device, &linear, &mut x, &own.matrix);
                assert_eq!(few, together[..n * 6], "{encoding:?}, {n} of 8");
            }
        }
    }
}

#[test]
fn shares_of_a_tile_add_up_to_the_same_every_time() {
    let device = Device::for_tests();
    let linear = Linear::on_chip(&device, Precision::Fast, chip(16)).expect("memory");
    let mut random = Random(5);
    let own = weights(&device, Encoding::BF16, [70, 1312], &mut random);
    let values = activations(40 * 1312, &mut random);
    let first = multiply(
        &device,
        &linear,
        &mut rows(&device, &values, 1312),
        &own.matrix,
    );
    let second = multiply(
        &device,
        &linear,
        &mut rows(&device, &values, 1312),
        &own.matrix,
    );
    assert_eq!(first, second);
}

#[test]
fn several_products_share_their_input() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    let q4 = Encoding::Block(BlockFormat::Q4K);
    let q6 = Encoding::Block(BlockFormat::Q6K);
    for n in [2, 12] {
        check_several(&device, &linear, n, [q4, q6]);
    }
}

/// Products of `n` rows with matrices of two encodings, some of them with biases or added.
pub(super) fn check_several(
    device: &Device,
    linear: &Linear,
    n: usize,
    [first, second]: [Encoding; 2],
) {
    let k = 256;
    let mut random = Random(n as u64);
    let all: Vec<(Encoding, Weights)> = [
        (first, 9),
        (first, 70),
        (first, 1),
        (first, 3),
        (second, 5),
        (Encoding::F32, 4),
    ]
    .map(|(encoding, n_rows)| {
        (
            encoding,
            weights(device, encoding, [n_rows, k], &mut random),
        )
    })
    .into();
    let values = activations(n * k, &mut random);
    let mut x = rows(device, &values, k);
    let biases: Vec<Vec<f32>> = all
        .iter()
        .map(|(_, own)| activations(own.matrix.n_rows(), &mut random))
        .collect();
    let on_device: Vec<_> = biases.iter().map(|bias| floats(device, bias)).collect();
    // Every second product is added to what is there.
    let before: Vec<Vec<f32>> = all
        .iter()
        .map(|(_, own)| activations(n * own.matrix.n_rows(), &mut random))
        .collect();
    let mut outs: Vec<Rows> = all
        .iter()
        .zip(&before)
        .map(|((_, own), before)| rows(device, before, own.matrix.n_rows()))
        .collect();
    let mut products: Vec<Product<'_>> = all
        .iter()
        .zip(&on_device)
        .zip(&mut outs)
        .enumerate()
        .map(|(i, (((_, own), bias), out))| Product {
            projection: Projection {
                matrix: &own.matrix,
                bias: (i != 1).then_some(bias),
            },
            output: if i % 2 == 0 {
                Output::Replace(out)
            } else {
                Output::Add(out)
            },
        })
        .collect();
    linear.multiply(&mut x, &mut products).expect("products");
    for (i, (encoding, own)) in all.iter().enumerate() {
        let seen = seen(device, Precision::Fast, &mut x, *encoding, &own.values);
        let n_rows = own.matrix.n_rows();
        for (at, got) in read(device, &outs[i]).into_iter().enumerate() {
            let (column, row) = (at / n_rows, at % n_rows);
            let (mut sum, mut size) =
                product(&seen.weights[row * k..][..k], &seen.x[column * k..][..k]);
            let mut add = |term: f32| {
                sum += f64::from(term);
                size += f64::from(term.abs());
            };
            if i != 1 {
                add(biases[i][row]);
            }
            if i % 2 == 1 {
                add(before[i][at]);
            }
            check(&format!("product {i} of {n} rows"), got, sum, size);
        }
    }
}

#[test]
fn nothing_is_a_product_too() {
    let device = Device::for_tests();
    for precision in [Precision::Fast, Precision::Exact] {
        let linear = Linear::new(&device, precision).expect("memory");
        let own = weights(&device, Encoding::BF16, [5, 32], &mut Random(1));
        let mut x = Rows::new(&device, 0, 32).expect("memory");
        assert!(multiply(&device, &linear, &mut x, &own.matrix).is_empty());
        let none = weights(
            &device,
            Encoding::Block(BlockFormat::Q8_0),
            [0, 32],
            &mut Random(1),
        );
        let mut x = rows(&device, &[1.0; 64], 32);
        assert!(multiply(&device, &linear, &mut x, &none.matrix).is_empty());
    }
}

#[test]
#[should_panic(expected = "a matrix is as wide as its input")]
fn another_width_is_refused() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    let own = weights(&device, Encoding::F32, [5, 32], &mut Random(1));
    multiply(
        &device,
        &linear,
        &mut rows(&device, &[1.0; 64], 64),
        &own.matrix,
    );
}

#[test]
#[should_panic(expected = "are not [3, 32]")]
fn bytes_of_another_shape_are_refused() {
    let _ = Matrix::upload(&Device::for_tests(), Encoding::F16, &[0; 64], [3, 32]);
}

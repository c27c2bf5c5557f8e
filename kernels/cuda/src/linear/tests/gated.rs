//! Gates.

use super::*;

/// What an activation is, in float64.
fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x * erfc(-x / std::f64::consts::SQRT_2) / 2.0,
        Activation::GeluTanh => {
            let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            x * (1.0 + y.tanh()) / 2.0
        }
    }
}

/// One minus the error function: by its series, and by a continued fraction where that converges.
fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x > 2.0 {
        let fraction = (1..100)
            .rev()
            .fold(x, |below, n| x + f64::from(n) / 2.0 / below);
        return (-x * x).exp() / fraction / std::f64::consts::PI.sqrt();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..60 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI
}

pub(super) const ACTIVATIONS: [Activation; 3] =
    [Activation::Silu, Activation::Gelu, Activation::GeluTanh];

pub(super) struct Case {
    pub(super) precision: Precision,
    pub(super) encodings: [Encoding; 2],
    pub(super) activation: Activation,
    /// Rows of weights, width, rows of activations.
    pub(super) shape: [usize; 3],
}

pub(super) fn check_gated(device: &Device, linear: &Linear, case: &Case) {
    let [n_rows, k, n] = case.shape;
    let mut random = Random((n_rows + k + n) as u64);
    let pair = case
        .encodings
        .map(|encoding| weights(device, encoding, [n_rows, k], &mut random));
    // So small that an activation is no straight line.
    let values: Vec<f32> = (0..n * k).map(|_| random.unit() / k as f32).collect();
    let mut x = rows(device, &values, k);
    let biases = [(); 2].map(|()| (0..n_rows).map(|_| random.unit()).collect::<Vec<f32>>());
    let memory = biases.each_ref().map(|bias| floats(device, bias));
    let mut out = Rows::new(device, 1, 1).expect("memory");
    let [gate, up] = [0, 1].map(|i| Projection {
        matrix: &pair[i].matrix,
        bias: (i == 0 || n != 3).then_some(&memory[i]),
    });
    linear
        .multiply_gated(&mut x, gate, up, case.activation, &mut out)
        .expect("a product");
    let seen = [0, 1].map(|i| {
        seen(
            device,
            case.precision,
            &mut x,
            case.encodings[i],
            &pair[i].values,
        )
    });
    for (i, got) in read(device, &out).into_iter().enumerate() {
        let (column, row) = (i / n_rows, i % n_rows);
        let [(gate, gate_size), (up, up_size)] = [0, 1].map(|i| {
            let (sum, size) = product(
                &seen[i].weights[row * k..][..k],
                &seen[i].x[column * k..][..k],
            );
            let bias = if i == 0 || n != 3 {
                f64::from(biases[i][row])
            } else {
                0.0
            };
            (sum + bias, size + bias.abs())
        });
        let expected = activate(case.activation, gate) * up;
        // An activation is nowhere steeper than 1.13.
        let size = 1.13 * gate_size * up_size;
        let what = format!(
            "{:?} {:?} {:?} at {column}, {row}",
            case.encodings, case.activation, case.shape
        );
        check(&what, got, expected, size);
    }
}

#[test]
fn gates_are_applied_to_products() {
    let device = Device::for_tests();
    for precision in [Precision::Fast, Precision::Exact] {
        for n_multiprocessors in [1, 64] {
            let linear = Linear::on_chip(&device, precision, chip(n_multiprocessors));
            let linear = linear.expect("memory");
            let formats = [Encoding::BF16, Encoding::F16, Encoding::F32, Encoding::Fp8]
                .into_iter()
                .chain([BlockFormat::Q4K, BlockFormat::Q8_0].map(Encoding::Block));
            for (i, encoding) in formats.enumerate() {
                for shape in [
                    [1, 256, 1],
                    [3, 1280, 3],
                    [21, 256, 8],
                    [37, 256, 9],
                    [70, 512, 65],
                ] {
                    let case = Case {
                        precision,
                        encodings: [encoding; 2],
                        activation: ACTIVATIONS[(i + shape[0]) % 3],
                        shape,
                    };
                    check_gated(&device, &linear, &case);
                }
            }
        }
    }
}

#[test]
fn a_gate_may_have_another_encoding() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    for (n, activation) in [1, 3, 12].into_iter().zip(ACTIVATIONS) {
        let case = Case {
            precision: Precision::Fast,
            encodings: [
                Encoding::Block(BlockFormat::Q4K),
                Encoding::Block(BlockFormat::Q6K),
            ],
            activation,
            shape: [19, 256, n],
        };
        check_gated(&device, &linear, &case);
    }
}

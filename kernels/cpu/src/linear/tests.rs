//! Products of every kind of matrix, on several threads, against plain sums.

use super::*;
use crate::elementwise::Activation;
use crate::{
    Arena, Bf16Rows, BlockFormat, Int8Rows, Isa, bf16_to_f32, dequantize, f16_to_f32,
    f32_from_le_bytes,
};

const ENCODINGS: [Encoding; 6] = [
    Encoding::F32,
    Encoding::F16,
    Encoding::BF16,
    Encoding::Block(BlockFormat::Q8_0),
    Encoding::Block(BlockFormat::Q4_1),
    Encoding::Block(BlockFormat::IQ2XXS),
];

/// Values within ±2, as bytes: scales and exponents are ordinary.
fn bytes(encoding: Encoding, n_values: usize, seed: usize) -> Vec<u8> {
    let value = |i: usize| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0;
    let values = (0..n_values).map(value);
    match encoding {
        Encoding::F32 => values.flat_map(f32::to_le_bytes).collect(),
        Encoding::F16 => values
            .flat_map(|x| half::f16::from_f32(x).to_le_bytes())
            .collect(),
        Encoding::BF16 => values
            .flat_map(|x| half::bf16::from_f32(x).to_le_bytes())
            .collect(),
        Encoding::Block(format) => {
            let n = n_values / format.block_len() * format.block_bytes();
            let mut bytes: Vec<u8> = (0..n).map(|i| (i * 151 + seed * 7) as u8).collect();
            for block in bytes.chunks_exact_mut(format.block_bytes()) {
                let scale = half::f16::from_f32(0.01).to_le_bytes();
                block[..2].copy_from_slice(&scale);
                if format == BlockFormat::Q4_1 {
                    block[2..4].copy_from_slice(&scale);
                }
            }
            bytes
        }
    }
}

fn widened(encoding: Encoding, bytes: &[u8], n_values: usize) -> Vec<f32> {
    let mut values = vec![0.0; n_values];
    match encoding {
        Encoding::F32 => f32_from_le_bytes(bytes, &mut values),
        Encoding::F16 => f16_to_f32(bytes, &mut values),
        Encoding::BF16 => bf16_to_f32(bytes, &mut values),
        Encoding::Block(format) => dequantize(format, bytes, &mut values),
    }
    values
}

struct Layer {
    matrix: Matrix,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

fn layer(team: &Team, encoding: Encoding, [rows, k]: [usize; 2], seed: usize) -> Layer {
    let bytes = bytes(encoding, rows * k, seed);
    let weights = widened(encoding, &bytes, rows * k);
    let (threads, mut arena) = (team.threads(), Arena::default());
    Layer {
        matrix: Matrix::pack(threads, &mut arena, team.isa(), encoding, bytes, [rows, k])
            .expect("memory"),
        weights,
        bias: (0..rows).map(|i| i as f32 / 7.0).collect(),
    }
}

impl Layer {
    fn product(&self, with_bias: bool) -> Product<'_> {
        Product {
            matrix: &self.matrix,
            bias: with_bias.then_some(&self.bias),
        }
    }

    /// `[n, rows]`
    fn expected(&self, x: &[f32], with_bias: bool) -> Vec<f32> {
        let k = self.matrix.k();
        let sum = |x: &[f32], row: usize| -> f32 {
            let weights = &self.weights[row * k..(row + 1) * k];
            let terms = x
                .iter()
                .zip(weights)
                .map(|(x, w)| f64::from(*x) * f64::from(*w));
            terms.sum::<f64>() as f32 + if with_bias { self.bias[row] } else { 0.0 }
        };
        let rows = 0..self.matrix.n_rows();
        let of_row = |x| rows.clone().map(move |row| sum(x, row));
        x.chunks_exact(k).flat_map(of_row).collect()
    }
}

fn input(n: usize, k: usize) -> Vec<f32> {
    (0..n * k)
        .map(|i| ((i * 29) % 83) as f32 / 41.0 - 1.0)
        .collect()
}

fn assert_near(found: &[f32], expected: &[f32], limit: f32) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1.0f32, |max, x| max.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= limit * size,
            "{found}, expected {expected}"
        );
    }
}

#[test]
fn products_replace_or_add() {
    for (isa, n_threads) in Isa::available().flat_map(|isa| [(isa, 1), (isa, 3)]) {
        let team = Team::new(isa, n_threads).expect("threads");
        for encoding in ENCODINGS {
            for (n, rows) in [(1, 1), (1, 65), (2, 64), (5, 31), (40, 33)] {
                let k = 256;
                let (a, b) = (
                    layer(&team, encoding, [rows, k], 1),
                    layer(&team, encoding, [rows + 9, k], 2),
                );
                let x = input(n, k);
                let (mut int8, mut bf16) = (Int8Rows::default(), Bf16Rows::default());
                int8.quantize(team.isa(), team.threads(), &x, k);
                bf16.round(team.threads(), &x, k);
                for (is_rounded, limit) in [(false, 1e-5), (true, 1e-2)] {
                    let x = Input {
                        values: &x,
                        int8: is_rounded.then_some(&int8),
                        bf16: is_rounded.then_some(&bf16),
                    };
                    let mut first = vec![f32::NAN; n * rows];
                    let mut second = vec![1.0; n * (rows + 9)];
                    let outputs = (Output::Replace(&mut first), Output::Add(&mut second));
                    team.multiply(
                        n,
                        x,
                        [(a.product(true), outputs.0), (b.product(false), outputs.1)],
                    );
                    assert_near(&first, &a.expected(x.values, true), limit);
                    second.iter_mut().for_each(|sum| *sum -= 1.0);
                    assert_near(&second, &b.expected(x.values, false), limit);
                }
            }
        }
    }
}

#[test]
fn gates_of_any_two_kinds() {
    let pairs = ENCODINGS.map(|gate| ENCODINGS.map(|up| (gate, up)));
    for isa in Isa::available() {
        let team = Team::new(isa, 2).expect("threads");
        for &(gate, up) in pairs.as_flattened() {
            let (n, rows, k) = (3, 37, 256);
            let (gate, up) = (
                layer(&team, gate, [rows, k], 3),
                layer(&team, up, [rows, k], 4),
            );
            let values = input(n, k);
            let x = Input {
                values: &values,
                int8: None,
                bf16: None,
            };
            let mut out = vec![0.0; n * rows];
            let products = [gate.product(true), up.product(true)];
            team.multiply_gated(n, x, products, Activation::Silu, &mut out);
            let pairs = gate
                .expected(&values, true)
                .into_iter()
                .zip(up.expected(&values, true));
            let expected: Vec<f32> = pairs.map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            assert_near(&out, &expected, 1e-5);
        }
    }
}

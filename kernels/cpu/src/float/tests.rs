//! Every instruction set and format against double precision.

use super::*;
use crate::simd::tests::random;

/// The bytes of a file, and the values that they stand for.
fn encode(format: FloatFormat, values: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let numbers = values.iter().map(|&x| match format {
        FloatFormat::F32 => (x.to_le_bytes().to_vec(), x),
        FloatFormat::F16 => {
            let x = half::f16::from_f32(x);
            (x.to_le_bytes().to_vec(), x.to_f32())
        }
        FloatFormat::BF16 => {
            let x = half::bf16::from_f32(x);
            (x.to_le_bytes().to_vec(), x.to_f32())
        }
    });
    let (bytes, values): (Vec<_>, Vec<_>) = numbers.unzip();
    (bytes.concat(), values)
}

fn pack(isa: Isa, format: FloatFormat, bytes: &Vec<u8>, shape: [usize; 2]) -> FloatMatrix {
    let threads = Threads::new(2).expect("threads");
    FloatMatrix::pack(&threads, &mut Arena::default(), isa, format, bytes, shape).expect("memory")
}

/// `[n, n_rows]`
fn multiply(matrix: &FloatMatrix, isa: Isa, x: &[f32], n: usize) -> Vec<f32> {
    multiply_by(matrix, n, |panel, tile| matrix.panel(isa, panel, x, tile))
}

/// The same with rounded activations, where the matrix wants them.
fn multiply_rounded(matrix: &FloatMatrix, isa: Isa, x: &[f32], n: usize) -> Vec<f32> {
    if !matrix.rounds_input() {
        return multiply(matrix, isa, x, n);
    }
    let mut rounded = Bf16Rows::default();
    rounded.round(&Threads::new(2).expect("threads"), x, matrix.k());
    multiply_by(matrix, n, |panel, tile| {
        matrix.rounded_panel(isa, panel, &rounded, tile);
    })
}

fn multiply_by(matrix: &FloatMatrix, n: usize, multiply: impl Fn(usize, &mut [f32])) -> Vec<f32> {
    let mut out = vec![f32::NAN; n * matrix.n_rows()];
    for panel in 0..matrix.n_panels() {
        let mut tile = vec![f32::NAN; n * FloatMatrix::PANEL];
        multiply(panel, &mut tile);
        let first = panel * FloatMatrix::PANEL;
        let width = FloatMatrix::PANEL.min(matrix.n_rows() - first);
        for (tile, out) in tile
            .chunks(FloatMatrix::PANEL)
            .zip(out.chunks_mut(matrix.n_rows()))
        {
            out[first..first + width].copy_from_slice(&tile[..width]);
            assert!(
                tile[width..].iter().all(|&x| x == 0.0),
                "lanes without a row"
            );
        }
    }
    out
}

#[test]
fn products_agree_at_every_size() {
    for format in FloatFormat::ALL {
        for (n_rows, k) in [
            (1, 1),
            (31, 33),
            (32, 64),
            (33, 31),
            (64, 126),
            (65, 128),
            (96, 300),
            (5, 1026),
        ] {
            let (bytes, weights) = encode(format, &random(n_rows * k, 1));
            for isa in Isa::available() {
                let matrix = pack(isa, format, &bytes, [n_rows, k]);
                for n in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 33, 65] {
                    let x = random(n * k, 2);
                    let (_, rounded_x) = encode(FloatFormat::BF16, &x);
                    let out = multiply(&matrix, isa, &x, n);
                    let rounded = multiply_rounded(&matrix, isa, &x, n);
                    let rounded_x = if matrix.rounds_input() {
                        &rounded_x
                    } else {
                        &x
                    };
                    for (out, x) in [(out, &x), (rounded, rounded_x)] {
                        for (i, out) in out.iter().enumerate() {
                            let (n, row) = (i / n_rows, i % n_rows);
                            let pairs = x[n * k..][..k].iter().zip(&weights[row * k..][..k]);
                            let want: f64 = pairs.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
                            let error = (f64::from(*out) - want).abs();
                            assert!(
                                error < 1e-6 * (k as f64).max(8.0),
                                "{isa:?} {format:?} [{n_rows}, {k}] times row {n}, row {row}: {out}, not {want}"
                            );
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_others() {
    let (n_rows, k, n) = (70, 518, 40);
    for format in FloatFormat::ALL {
        let (bytes, _) = encode(format, &random(n_rows * k, 3));
        let x = random(n * k, 4);
        for isa in Isa::available() {
            let matrix = pack(isa, format, &bytes, [n_rows, k]);
            for multiply in [multiply, multiply_rounded] {
                let together = multiply(&matrix, isa, &x, n);
                for size in [1, 2, 3, 4, 5, 9, 17] {
                    let pieces = x.chunks(size * k);
                    let apart: Vec<f32> = pieces
                        .flat_map(|x| multiply(&matrix, isa, x, x.len() / k))
                        .collect();
                    assert_eq!(apart, together, "{isa:?} {format:?} {size} at a time");
                }
            }
        }
    }
}

#[test]
fn rows_come_back_as_they_were() {
    for isa in Isa::available() {
        for format in FloatFormat::ALL {
            for (n_rows, k) in [(67, 45), (67, 46)] {
                let (bytes, weights) = encode(format, &random(n_rows * k, 5));
                let matrix = pack(isa, format, &bytes, [n_rows, k]);
                assert_eq!(matrix.n_bytes(), 96 * k * format.n_bytes());
                for (row, want) in weights.chunks(k).enumerate() {
                    let mut out = vec![f32::NAN; k];
                    matrix.row(row, &mut out);
                    assert_eq!(out, want, "{format:?} row {row}");
                }
            }
        }
    }
}

#[test]
fn activations_are_rounded_to_the_nearest() {
    let edges = [
        0.0,
        -0.0,
        1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        -f32::MIN_POSITIVE,
    ];
    // Half way between two numbers, to either side; a little more and less.
    let halves = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff].map(f32::from_bits);
    let x = [&edges[..], &halves, &random(1001, 6)].concat();
    let mut rows = Bf16Rows::default();
    for k in [2, x.len()] {
        rows.round(&Threads::new(2).expect("threads"), &x, k);
        let (_, want) = encode(FloatFormat::BF16, &x);
        let pairs = (0..rows.n()).flat_map(|n| (0..k / 2).map(move |i| (n, i)));
        let found: Vec<f32> = pairs.flat_map(|(n, i)| rows.pair(n, i)).collect();
        assert_eq!(found, want);
    }
    rows.round(&Threads::new(1).expect("a thread"), &[f32::NAN, 1.0], 2);
    assert!(rows.pair(0, 0)[0].is_nan());
}

#[test]
fn nothing_times_nothing_is_nothing() {
    for isa in Isa::available() {
        for format in FloatFormat::ALL {
            for shape in [[0, 0], [0, 6], [3, 0]] {
                let matrix = pack(isa, format, &Vec::new(), shape);
                for multiply in [multiply, multiply_rounded] {
                    assert!(multiply(&matrix, isa, &[], 0).is_empty());
                }
                if shape == [3, 0] {
                    assert_eq!(multiply(&matrix, isa, &[], 2), [0.0; 6]);
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "11 bytes are not [2, 3]")]
fn wrong_sizes_are_refused() {
    pack(Isa::Scalar, FloatFormat::BF16, &vec![0; 11], [2, 3]);
}

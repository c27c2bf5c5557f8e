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

/// `[n, n_rows]`
fn multiply(matrix: &FloatMatrix, isa: Isa, x: &[f32], n: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; n * matrix.n_rows()];
    for panel in 0..matrix.n_panels() {
        let mut tile = vec![f32::NAN; n * FloatMatrix::PANEL];
        matrix.panel(isa, panel, x, &mut tile);
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
    let threads = Threads::new(2).expect("threads");
    for format in FloatFormat::ALL {
        for (n_rows, k) in [
            (1, 1),
            (31, 33),
            (32, 64),
            (33, 31),
            (64, 127),
            (65, 128),
            (96, 300),
            (5, 1025),
        ] {
            let (bytes, weights) = encode(format, &random(n_rows * k, 1));
            let matrix =
                FloatMatrix::pack(&threads, &mut Arena::default(), format, &bytes, [n_rows, k])
                    .expect("memory");
            for isa in Isa::available() {
                for n in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 33, 65] {
                    let x = random(n * k, 2);
                    let out = multiply(&matrix, isa, &x, n);
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

#[test]
fn a_row_does_not_depend_on_the_others() {
    let threads = Threads::new(1).expect("threads");
    let (n_rows, k, n) = (70, 517, 40);
    for format in FloatFormat::ALL {
        let (bytes, _) = encode(format, &random(n_rows * k, 3));
        let matrix =
            FloatMatrix::pack(&threads, &mut Arena::default(), format, &bytes, [n_rows, k])
                .expect("memory");
        let x = random(n * k, 4);
        for isa in Isa::available() {
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

#[test]
fn rows_come_back_as_they_were() {
    for n_threads in 1..=3 {
        let threads = Threads::new(n_threads).expect("threads");
        for format in FloatFormat::ALL {
            let (n_rows, k) = (67, 45);
            let (bytes, weights) = encode(format, &random(n_rows * k, 5));
            let matrix =
                FloatMatrix::pack(&threads, &mut Arena::default(), format, &bytes, [n_rows, k])
                    .expect("memory");
            assert_eq!(matrix.n_bytes(), 96 * k * format.n_bytes());
            for (row, want) in weights.chunks(k).enumerate() {
                let mut out = vec![f32::NAN; k];
                matrix.row(row, &mut out);
                assert_eq!(out, want, "{format:?} row {row}");
            }
        }
    }
}

#[test]
fn nothing_times_nothing_is_nothing() {
    let threads = Threads::new(1).expect("threads");
    for format in FloatFormat::ALL {
        for shape in [[0, 0], [0, 5], [3, 0]] {
            let matrix =
                FloatMatrix::pack(&threads, &mut Arena::default(), format, &Vec::new(), shape)
                    .expect("memory");
            for isa in Isa::available() {
                assert!(multiply(&matrix, isa, &[], 0).is_empty());
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
    let threads = Threads::new(1).expect("threads");
    let _ = FloatMatrix::pack(
        &threads,
        &mut Arena::default(),
        FloatFormat::BF16,
        &vec![0; 11],
        [2, 3],
    );
}

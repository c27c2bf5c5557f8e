//! Every format, every instruction set, odd sizes: against dequantized weights in float64.

use super::layout::SUB;
use super::*;
use crate::dequantize;

/// Formats with integer kernels.
pub(super) fn formats() -> impl Iterator<Item = BlockFormat> {
    BlockFormat::ALL
        .into_iter()
        .filter(|&format| Int8Matrix::supports(format))
}

/// A small generator (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }
}

/// Random bytes whose scales are ordinary numbers: every half is kept below 2, every exponent
/// byte near that of 1.
fn blocks(format: BlockFormat, n: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..n * format.block_bytes())
        .map(|_| random.next() as u8)
        .collect();
    make_scales_ordinary(format, &mut bytes);
    bytes
}

fn make_scales_ordinary(format: BlockFormat, bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        let halves: &[usize] = match format {
            BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q4K | BlockFormat::Q5K => &[0, 2],
            BlockFormat::Q2K => &[80, 82],
            BlockFormat::Q3K => &[108],
            BlockFormat::Q6K => &[208],
            BlockFormat::MXFP4 => {
                block[0] = 120 + block[0] % 8;
                &[]
            }
            _ => &[0],
        };
        halves.iter().for_each(|&at| block[at + 1] &= 0xbf);
    }
}

pub(super) struct Case {
    pub(super) matrix: Int8Matrix,
    /// `[n_rows, k]`
    weights: Vec<f32>,
    x: Vec<f32>,
    pub(super) rows: Int8Rows,
}

pub(super) fn case(
    isa: Isa,
    threads: &Threads,
    format: BlockFormat,
    [n_rows, k, n]: [usize; 3],
) -> Case {
    let mut random = Random((n_rows * 1000 + k * 10 + n) as u64);
    let bytes = blocks(format, n_rows * k / format.block_len(), &mut random);
    let mut x: Vec<f32> = (0..n * k).map(|_| random.unit() * 3.0).collect();
    // Some rows have a value that outweighs all others.
    x.iter_mut().step_by(2 * k + 41).for_each(|x| *x *= 1000.0);
    // Others have blocks that do; at some places in the row they are many.
    for (i, block) in x.chunks_exact_mut(SUB).enumerate() {
        if random.next() % 8 < i as u32 % 5 {
            block.iter_mut().for_each(|x| *x *= 10.0);
        }
    }
    packed(isa, threads, format, bytes, x, [n_rows, k])
}

fn packed(
    isa: Isa,
    threads: &Threads,
    format: BlockFormat,
    bytes: Vec<u8>,
    x: Vec<f32>,
    [n_rows, k]: [usize; 2],
) -> Case {
    let mut weights = vec![0.0; n_rows * k];
    dequantize(format, &bytes, &mut weights);
    let mut arena = Arena::default();
    let matrix = Int8Matrix::pack(threads, &mut arena, isa, format, &bytes, [n_rows, k]);
    let matrix = matrix.expect("memory");
    let mut rows = Int8Rows::default();
    rows.quantize(isa, threads, &x, k);
    Case {
        matrix,
        weights,
        x,
        rows,
    }
}

/// The product, and the size that its terms could have: kernels add up codes and offsets, which are
/// large where a weight is small.
fn product(weights: &[f32], x: &[f32]) -> (f64, f64) {
    let largest = weights.iter().fold(0.0f32, |max, w| max.max(w.abs()));
    let terms = weights.iter().zip(x);
    let sum = terms.map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
    let size: f64 = x.iter().map(|x| f64::from(x.abs())).sum();
    (sum, size * f64::from(largest))
}

/// The largest error of a product, relative to the size of its terms.
fn check(case: &Case, x: &[f32], limit: f64, mut panel: impl FnMut(usize, &mut [f32])) {
    let (n_rows, k) = (case.matrix.n_rows(), case.matrix.k());
    let panel_len = case.matrix.panel_len();
    for p in 0..case.matrix.n_panels() {
        let mut tile = vec![f32::NAN; x.len() / k * panel_len];
        panel(p, &mut tile);
        for (x, tile) in x.chunks_exact(k).zip(tile.chunks_exact(panel_len)) {
            for (i, &got) in tile.iter().enumerate() {
                let row = p * panel_len + i;
                if row >= n_rows {
                    // The scale of MXFP4 that stands for an empty row is 2^-127.
                    assert!(got.abs() < 1e-30, "rows past the end count as zeros");
                    continue;
                }
                let (sum, size) = product(&case.weights[row * k..(row + 1) * k], x);
                let error = (f64::from(got) - sum).abs() / size.max(1e-30);
                assert!(
                    error <= limit,
                    "{}: row {row}: {got}, expected {sum}, {error:e}",
                    case.matrix.format
                );
            }
        }
    }
}

/// The activations as they were rounded.
fn rounded(rows: &Int8Rows) -> Vec<f32> {
    let mut x = Vec::new();
    for n in 0..rows.n() {
        for sub in 0..rows.k() / SUB {
            let (codes, scale, _) = rows.sub(n, sub);
            x.extend(
                codes
                    .as_flattened()
                    .iter()
                    .map(|&code| f32::from(code) * scale),
            );
        }
    }
    for sub in 0..rows.k() / SUB {
        for (row, (codes, scale, _)) in rows.twice().get(sub) {
            let x = &mut x[row * rows.k() + sub * SUB..][..SUB];
            for (x, &code) in x.iter_mut().zip(codes.as_flattened()) {
                *x += f32::from(code) * scale;
            }
        }
    }
    x
}

#[test]
fn products_are_those_of_the_rounded_activations() {
    let threads = Threads::new(2).expect("threads");
    for isa in Isa::available() {
        for format in formats() {
            let long = format.block_len();
            for shape in [
                [3, long, 0],
                [1, long, 1],
                [8, long, 2],
                [9, 2 * long, 3],
                [65, 3 * long, 4],
                [31, long, 5],
                [17, 2 * long, 6],
                [15, long, 7],
                [16, 9 * long, 8],
                [33, long, 9],
                [24, 72 * 32 / long * long, 18],
                [40, 40 * 32 / long * long, 16],
                [1, 2 * long, 17],
                [10, long, 31],
                [7, 2 * long, 33],
                [18, long, 65],
            ] {
                let case = case(isa, &threads, format, shape);
                let x = rounded(&case.rows);
                let mut scratch = Vec::new();
                // The scalar twin reads what was packed for any set.
                for isa in [isa, Isa::Scalar] {
                    check(&case, &x, 1e-6, |panel, tile| {
                        case.matrix
                            .panel(isa, panel, &case.rows, tile, &mut scratch);
                    });
                }
                check(&case, &case.x, 1e-6, |panel, tile| {
                    case.matrix.exact_panel(panel, &case.x, tile);
                });
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_batch() {
    let threads = Threads::new(1).expect("threads");
    for isa in Isa::available() {
        for format in formats() {
            // So long that more than a part of a panel is unpacked.
            let k = (67 * SUB).next_multiple_of(format.block_len());
            let case = case(isa, &threads, format, [21, k, 39]);
            let width = case.matrix.panel_len();
            let mut scratch = Vec::new();
            for panel in 0..case.matrix.n_panels() {
                let mut together = vec![f32::NAN; 39 * width];
                case.matrix
                    .panel(isa, panel, &case.rows, &mut together, &mut scratch);
                for n in [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 25, 33] {
                    let mut rows = Int8Rows::default();
                    rows.quantize(isa, &threads, &case.x[..n * k], k);
                    let mut tile = vec![f32::NAN; n * width];
                    case.matrix
                        .panel(isa, panel, &rows, &mut tile, &mut scratch);
                    assert_eq!(tile, together[..n * width], "{format} {n} of 39");
                }
            }
        }
    }
}

#[test]
fn the_largest_codes_do_not_overflow() {
    let threads = Threads::new(1).expect("a thread");
    for isa in Isa::available() {
        for format in formats() {
            let k = 2 * format.block_len();
            for (byte, sign) in [(0x80, 1.0), (0x80, -1.0), (0x7f, 1.0), (0xff, -1.0)] {
                let mut bytes = vec![byte; 8 * 2 * format.block_bytes()];
                make_scales_ordinary(format, &mut bytes);
                // For one row, and for a group.
                for n in [1, 24] {
                    let case = packed(
                        isa,
                        &threads,
                        format,
                        bytes.clone(),
                        vec![sign; n * k],
                        [8, k],
                    );
                    let mut scratch = Vec::new();
                    check(&case, &case.x, 1e-6, |panel, tile| {
                        case.matrix
                            .panel(isa, panel, &case.rows, tile, &mut scratch);
                    });
                }
            }
        }
    }
}

#[test]
#[should_panic(expected = "packed for another set")]
fn panels_of_another_width_are_refused() {
    let wide = Isa::available()
        .find(|&isa| Layout::for_isa(BlockFormat::Q8_0, isa) != Layout::of(BlockFormat::Q8_0));
    let Some(wide) = wide else {
        panic!("packed for another set: this machine has none");
    };
    let threads = Threads::new(1).expect("a thread");
    let case = case(Isa::Scalar, &threads, BlockFormat::Q8_0, [1, 32, 1]);
    let mut tile = [0.0; 8];
    case.matrix
        .panel(wide, 0, &case.rows, &mut tile, &mut Vec::new());
}

#[test]
fn what_stands_beside_a_large_value_is_not_lost() {
    let threads = Threads::new(1).expect("a thread");
    let mut random = Random(3);
    let (n, k) = (11, 320);
    let mut x: Vec<f32> = (0..n * k).map(|_| random.unit()).collect();
    // In two blocks of some rows; the one must not hide the other.
    for row in [0, 3, 9] {
        x[row * k + 7] = 10_000.0;
        x[row * k + 300] = -50.0;
    }
    x[10 * k..].fill(0.0);
    let mut rows = Int8Rows::default();
    rows.quantize(Isa::Scalar, &threads, &x, k);
    for sub in 0..k / SUB {
        let twice: Vec<_> = rows.twice().get(sub).map(|(row, _)| row).collect();
        let expected: &[usize] = if [0, 9].contains(&sub) {
            &[0, 3, 9]
        } else {
            &[]
        };
        assert_eq!(twice, expected, "place {sub}");
    }
    for (i, (x, rounded)) in x.iter().zip(rounded(&rows)).enumerate() {
        let (row, i) = (i / k, i % k);
        // The second scale of the first block is 10,000 / 127 / 2 / 127 at most.
        let limit = match (row, i / SUB) {
            (0 | 3 | 9, 0) => 0.16,
            _ => 0.5 / 127.0,
        };
        assert!((x - rounded).abs() <= 1.01 * limit, "{x} {rounded}");
    }
}

#[test]
fn rounding_is_the_same_on_every_instruction_set() {
    let mut random = Random(7);
    let (n_subs, n) = (10, 41);
    let mut x: Vec<f32> = (0..n * n_subs * SUB).map(|_| random.unit()).collect();
    for block in x.chunks_exact_mut(SUB).step_by(3) {
        block.iter_mut().for_each(|x| *x *= 5.0);
    }
    x[..32].fill(0.0);
    x[32..64].fill(1e-30);
    x[64..96].fill(-3e38);
    let quantize = |isa, n_threads| {
        let threads = Threads::new(n_threads).expect("threads");
        let mut rows = Int8Rows::default();
        rows.quantize(isa, &threads, &x, n_subs * SUB);
        let all = (0..n * n_subs).map(|i| (i / n_subs, rows.sub(i / n_subs, i % n_subs)));
        let twice = (0..n_subs).flat_map(|sub| rows.twice().get(sub));
        let all = all.chain(twice).map(|(row, (codes, scale, sums))| {
            (row, codes, scale.to_bits(), sums.map(f32::to_bits))
        });
        all.collect::<Vec<_>>()
    };
    let expected = quantize(Isa::Scalar, 1);
    assert!(expected.len() > n * n_subs + 100, "some were rounded twice");
    for isa in Isa::available() {
        for n_threads in [1, 3] {
            assert_eq!(quantize(isa, n_threads), expected, "{}", isa.name());
        }
    }
}

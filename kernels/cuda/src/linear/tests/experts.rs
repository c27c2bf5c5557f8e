//! Products with experts: each pair of a row and an expert, against plain products.

use super::*;
use crate::experts::Routing;

/// Which experts each row chooses, best first.
type Choices = Vec<Vec<usize>>;

/// Routes rows to these experts.
fn route(device: &Device, choices: &Choices, n_experts: usize, tile: usize) -> Routing {
    let top_k = choices[0].len();
    let mut logits = vec![0.0; choices.len() * n_experts];
    for (row, chosen) in logits.chunks_mut(n_experts).zip(choices) {
        for (k, &expert) in chosen.iter().enumerate() {
            row[expert] = (1 + top_k - k) as f32;
        }
    }
    let mut routing = Routing::new(device, 1, n_experts, top_k).expect("memory");
    let logits = floats(device, &logits);
    routing
        .route(&logits, choices.len(), true, tile)
        .expect("rows are routed");
    routing
}

/// Experts by chance, the last of which nobody chooses if there are enough others.
fn by_chance(n: usize, n_experts: usize, top_k: usize, random: &mut Random) -> Choices {
    let n_used = (n_experts - 1).max(top_k);
    let mut row = || {
        let mut all: Vec<usize> = (0..n_used).collect();
        for i in (1..n_used).rev() {
            all.swap(i, random.next() as usize % (i + 1));
        }
        all.truncate(top_k);
        all
    };
    (0..n).map(|_| row()).collect()
}

/// Rows of one expert's matrix, its width, experts.
#[derive(Clone, Copy, Debug)]
struct Shape {
    n_rows: usize,
    k: usize,
    n_experts: usize,
}

/// What the kernel sees of the weights and of the input.
fn seen_by(
    device: &Device,
    precision: Precision,
    tile: usize,
    x: &mut Rows,
    own: (Encoding, &[f32]),
) -> Seen {
    let plain = read(device, x);
    let is_block = matches!(own.0, Encoding::Block(_));
    let (x, weights) = match precision {
        _ if fp8::is_seen(own.0, x) => (fp8::from_fp8(device, x), own.1.to_vec()),
        Precision::Fast if tile <= 8 && is_block => (from_int8(device, x), own.1.to_vec()),
        Precision::Fast if tile > 8 && is_block => (to_bf16(&plain), to_bf16(own.1)),
        Precision::Fast if tile > 8 && own.0 != Encoding::F32 => (to_bf16(&plain), own.1.to_vec()),
        _ => (plain, own.1.to_vec()),
    };
    Seen { x, weights }
}

/// Multiplies rows and compares; then the pairs of what came out with the same experts, where these
/// are square.
fn check_experts(
    device: &Device,
    linear: &Linear,
    shape: Shape,
    encoding: Encoding,
    choices: &Choices,
) {
    let Shape {
        n_rows,
        k,
        n_experts,
    } = shape;
    let (n, top_k) = (choices.len(), choices[0].len());
    let precision = linear.launcher.precision();
    let mut random = Random((n_rows + 10 * k + 100 * n) as u64);
    let own = weights(device, encoding, [n_experts * n_rows, k], &mut random);
    let tile = linear.tile_of_experts([encoding], n, (n_experts, top_k));
    let routing = route(device, choices, n_experts, tile);
    let mut x = rows(device, &activations(n * k, &mut random), k);
    let mut out = Rows::new(device, 1, 1).expect("memory");
    // First rows, each of which all of its experts read; then a row for each pair.
    for sharers in [top_k, 1] {
        if sharers == 1 {
            x = rows(device, &activations(n * top_k * k, &mut random), k);
        }
        linear
            .multiply_by_expert(&mut x, &own.matrix, &routing, &mut out)
            .expect("a product");
        assert_eq!([out.n_rows(), out.width()], [n * top_k, n_rows]);
        let seen = seen_by(device, precision, tile, &mut x, (encoding, &own.values));
        for (i, got) in read(device, &out).into_iter().enumerate() {
            let (pair, row) = (i / n_rows, i % n_rows);
            let expert = choices[pair / top_k][pair % top_k];
            let weights = &seen.weights[(expert * n_rows + row) * k..][..k];
            let (sum, size) = product(weights, &seen.x[pair / sharers * k..][..k]);
            let what = format!("{encoding:?} {shape:?}, tiles of {tile}: {pair}, {row}");
            check(&what, got, sum, size);
        }
    }
}

fn all(precision: Precision, device: &Device) -> Linear {
    Linear::on_chip(device, precision, chip(1)).expect("memory")
}

#[test]
fn pairs_are_multiplied_with_their_experts() {
    let device = Device::for_tests();
    let linear = all(Precision::Fast, &device);
    for (i, encoding) in encodings().enumerate() {
        let k = 2 * least_len(encoding).max(32);
        // Rows, experts, experts of a row: tiles of every size.
        for (n, n_experts, top_k) in [
            (1, 5, 2),
            (3, 3, 2),
            (7, 9, 3),
            (6, 2, 2),
            (40, 4, 1),
            (60, 5, 2),
        ] {
            // All but the last kind for one in three encodings, to save time.
            if n < 40 && (i + n) % 3 != 0 {
                continue;
            }
            let shape = Shape {
                n_rows: 21,
                k,
                n_experts,
            };
            let choices = by_chance(n, n_experts, top_k, &mut Random(n as u64));
            check_experts(&device, &linear, shape, encoding, &choices);
        }
    }
}

#[test]
fn exact_products_of_experts_round_nothing() {
    let device = Device::for_tests();
    let linear = all(Precision::Exact, &device);
    let formats = [BlockFormat::Q4K, BlockFormat::Q8_0].map(Encoding::Block);
    let floats = [Encoding::BF16, Encoding::F32, Encoding::Fp8];
    for encoding in floats.into_iter().chain(formats) {
        for (n, n_experts, top_k) in [(1, 3, 3), (9, 4, 2), (70, 2, 1)] {
            let k = match encoding {
                Encoding::Block(format) => format.block_len(),
                _ => 40,
            };
            let shape = Shape {
                n_rows: 66,
                k,
                n_experts,
            };
            let choices = by_chance(n, n_experts, top_k, &mut Random(n as u64));
            check_experts(&device, &linear, shape, encoding, &choices);
        }
    }
}

#[test]
fn widths_that_are_no_whole_units_are_multiplied() {
    let device = Device::for_tests();
    let linear = all(Precision::Fast, &device);
    for encoding in [Encoding::BF16, Encoding::F16, Encoding::F32, Encoding::Fp8] {
        for (k, n) in [(37, 3), (40, 3), (37, 50)] {
            let shape = Shape {
                n_rows: 3,
                k,
                n_experts: 3,
            };
            let choices = by_chance(n, 3, 2, &mut Random(n as u64));
            check_experts(&device, &linear, shape, encoding, &choices);
        }
    }
}

#[test]
fn one_expert_may_have_all_rows() {
    let device = Device::for_tests();
    let linear = all(Precision::Fast, &device);
    for encoding in [Encoding::BF16, Encoding::Block(BlockFormat::Q6K)] {
        for n in [5, 30, 100] {
            let shape = Shape {
                n_rows: 9,
                k: 256,
                n_experts: 4,
            };
            check_experts(&device, &linear, shape, encoding, &vec![vec![2]; n]);
        }
    }
}

#[test]
fn a_pair_does_not_depend_on_the_others() {
    let device = Device::for_tests();
    for precision in [Precision::Fast, Precision::Exact] {
        let linear = all(precision, &device);
        for encoding in [Encoding::BF16, Encoding::Block(BlockFormat::Q4_0)] {
            let (n_experts, k) = (4, 256);
            let mut random = Random(3);
            let own = weights(&device, encoding, [n_experts * 10, k], &mut random);
            let values = activations(8 * k, &mut random);
            let choices = by_chance(8, n_experts, 2, &mut random);
            let multiply = |rows_of: std::ops::Range<usize>| {
                let choices = choices[rows_of.clone()].to_vec();
                let tile = linear.tile_of_experts([encoding], choices.len(), (n_experts, 2));
                let routing = route(&device, &choices, n_experts, tile);
                let mut x = rows(&device, &values[rows_of.start * k..rows_of.end * k], k);
                let mut out = Rows::new(&device, 1, 1).expect("memory");
                linear
                    .multiply_by_expert(&mut x, &own.matrix, &routing, &mut out)
                    .expect("a product");
                read(&device, &out)
            };
            let together = multiply(0..8);
            let alone: Vec<f32> = (0..8).flat_map(|row| multiply(row..row + 1)).collect();
            assert_eq!(together, alone, "{precision:?} {encoding:?}");
        }
    }
}

#[test]
fn devices_without_bfloat16_multiply_experts_like_everything_else() {
    let device = Device::for_tests();
    let old = Chip {
        has_bf16: false,
        ..chip(1)
    };
    let linear = Linear::on_chip(&device, Precision::Fast, old).expect("memory");
    for encoding in [Encoding::BF16, Encoding::Block(BlockFormat::Q4K)] {
        let (n, n_rows, k) = (40, 20, 256);
        let mut random = Random(5);
        let bytes = random_bytes(encoding, 2 * n_rows * k, &mut random);
        let upload =
            |bytes, n_rows| Matrix::upload(&device, encoding, bytes, [n_rows, k]).expect("memory");
        let all = upload(&bytes, 2 * n_rows);
        let mut x = rows(&device, &activations(n * k, &mut random), k);
        let choices = by_chance(n, 2, 2, &mut random);
        let routing = route(
            &device,
            &choices,
            2,
            linear.tile_of_experts([encoding], n, (2, 2)),
        );
        let mut out = Rows::new(&device, 1, 1).expect("memory");
        linear
            .multiply_by_expert(&mut x, &all, &routing, &mut out)
            .expect("a product");
        let got = read(&device, &out);
        for (expert, bytes) in bytes.chunks(bytes.len() / 2).enumerate() {
            let product = Product {
                projection: Projection {
                    matrix: &upload(bytes, n_rows),
                    bias: None,
                },
                output: Output::Replace(&mut out),
            };
            linear.multiply(&mut x, &mut [product]).expect("a product");
            for (row, expected) in read(&device, &out).chunks(n_rows).enumerate() {
                let k = choices[row].iter().position(|&chosen| chosen == expert);
                let pair = 2 * row + k.expect("both work on every row");
                let size = expected.iter().fold(0.0, |size: f32, x| size.max(x.abs()));
                for (got, expected) in got[pair * n_rows..].iter().zip(expected) {
                    let what = format!("{encoding:?}, row {row} of expert {expert}");
                    check(&what, *got, f64::from(*expected), f64::from(size));
                }
            }
        }
    }
}

#[test]
fn gates_of_experts_are_those_of_their_products() {
    let device = Device::for_tests();
    let linear = all(Precision::Fast, &device);
    let [q4, q6] = [BlockFormat::Q4K, BlockFormat::Q6K].map(Encoding::Block);
    for encodings in [[q4, q4], [q4, q6], [Encoding::BF16; 2]] {
        for n in [1, 6, 40] {
            let (n_rows, k, n_experts) = (13, 256, 3);
            let mut random = Random(n as u64);
            let pair = encodings
                .map(|encoding| weights(&device, encoding, [n_experts * n_rows, k], &mut random));
            let values: Vec<f32> = (0..n * k).map(|_| random.unit() / k as f32).collect();
            let mut x = rows(&device, &values, k);
            let choices = by_chance(n, n_experts, 2, &mut random);
            let tile = linear.tile_of_experts(encodings, n, (n_experts, 2));
            let routing = route(&device, &choices, n_experts, tile);
            let [gate, up] = [0, 1].map(|i| {
                let mut out = Rows::new(&device, 1, 1).expect("memory");
                linear
                    .multiply_by_expert(&mut x, &pair[i].matrix, &routing, &mut out)
                    .expect("a product");
                read(&device, &out)
            });
            let mut out = Rows::new(&device, 1, 1).expect("memory");
            let matrices = [&pair[0].matrix, &pair[1].matrix];
            linear
                .multiply_gated_by_expert(&mut x, matrices, Activation::Silu, &routing, &mut out)
                .expect("a product");
            let got = read(&device, &out);
            assert_eq!(got.len(), gate.len());
            for (i, got) in got.into_iter().enumerate() {
                let (gate, up) = (f64::from(gate[i]), f64::from(up[i]));
                let expected = gate / (1.0 + (-gate).exp()) * up;
                check(
                    &format!("{encodings:?}, {n} rows: {i}"),
                    got,
                    expected,
                    expected.abs(),
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "3 rows, 2 were routed")]
fn other_rows_than_those_that_were_routed_are_refused() {
    let device = Device::for_tests();
    let linear = all(Precision::Fast, &device);
    let own = weights(&device, Encoding::F32, [4, 32], &mut Random(1));
    let routing = route(&device, &vec![vec![0, 1]; 2], 2, 1);
    let mut x = rows(&device, &[1.0; 96], 32);
    let mut out = Rows::new(&device, 1, 1).expect("memory");
    let _ = linear.multiply_by_expert(&mut x, &own.matrix, &routing, &mut out);
}

#[test]
fn experts_in_eight_bits_share_their_kernels() {
    let device = Device::for_tests();
    let linear = Linear::on_chip(&device, Precision::Fast, fp8::new_chip(1)).expect("memory");
    for (n, n_experts, top_k) in [(40, 4, 1), (60, 5, 2)] {
        for encoding in [Encoding::Fp8, Encoding::Block(BlockFormat::MXFP4)] {
            let shape = Shape {
                n_rows: 21,
                k: 288,
                n_experts,
            };
            let choices = by_chance(n, n_experts, top_k, &mut Random(n as u64));
            check_experts(&device, &linear, shape, encoding, &choices);
        }
    }
}

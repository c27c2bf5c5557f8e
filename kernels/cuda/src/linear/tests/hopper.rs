//! Products by warpgroups, on the processor in place of a device that has them.

use super::gated::{ACTIVATIONS, Case, check_gated};
use super::products::{check_product, check_several, multiply};
use super::*;
use crate::linear::group::{Gating, Group, Part};
use crate::linear::hopper::HopperTile;

fn linear(device: &Device, n_multiprocessors: usize) -> Linear {
    Linear::on_chip(device, Precision::Fast, hopper(n_multiprocessors)).expect("memory")
}

/// The tile for matrices of so many rows and `n` rows of activations.
fn tile(
    device: &Device,
    chip: Chip,
    n_rows: &[usize],
    n: usize,
    gating: Gating,
) -> Option<HopperTile> {
    let out = device.alloc(4).expect("memory");
    let matrix =
        |&n_rows: &usize| weights(device, Encoding::BF16, [n_rows, 32], &mut Random(1)).matrix;
    let matrices: Vec<Matrix> = n_rows.iter().map(matrix).collect();
    let part = |i| {
        Some(Part {
            matrix: matrices.get(i)?,
            bias: None,
            out: &out,
            adds: false,
        })
    };
    let group = Group {
        parts: std::array::from_fn(part),
        gating,
        choice: None,
    };
    HopperTile::of(&chip, &group, [n, 32])
}

#[test]
fn tiles_are_as_large_as_keeps_a_device_busy() {
    let device = Device::emulated();
    let h100 = Chip {
        shared_memory: 227 << 10,
        ..hopper(132)
    };
    let of = |n_rows: &[usize], n| tile(&device, h100, n_rows, n, Gating::None);
    let gated = Gating::Pair(Activation::Silu);
    // A model of eight billion weights.
    assert_eq!(of(&[4096, 1024, 1024], 2048), Some(HopperTile::Wide));
    assert_eq!(of(&[4096], 2048), Some(HopperTile::Wide));
    assert_eq!(
        tile(&device, h100, &[12288; 2], 2048, gated),
        Some(HopperTile::Wide)
    );
    assert_eq!(of(&[4096], 512), Some(HopperTile::Narrow));
    assert_eq!(of(&[4096], 128), None);
    assert_eq!(of(&[12288], 64), None);
    // What others do.
    let held = Gating::Output(Activation::Silu);
    assert_eq!(tile(&device, h100, &[12288], 2048, held), None);
    assert_eq!(tile(&device, chip(132), &[12288], 2048, Gating::None), None);
    let small = Chip {
        shared_memory: 64 << 10,
        ..h100
    };
    assert_eq!(tile(&device, small, &[12288], 2048, Gating::None), None);
    // The processor stands for compute capability 8.0.
    assert!(!Chip::of(&device).has_warpgroups);
}

#[test]
fn products_are_those_of_the_rounded_activations() {
    let device = Device::emulated();
    // One block with all tiles, and a block for each.
    for (n_multiprocessors, shapes) in [
        // Narrow tiles, wide ones, and so many steps that stages come round several times.
        (1, [[300, 64, 70], [200, 96, 130], [129, 1024, 257]]),
        (4, [[128, 32, 128], [511, 160, 65], [5, 320, 400]]),
    ] {
        let linear = linear(&device, n_multiprocessors);
        for shape in shapes {
            check_product(&device, &linear, Precision::Fast, Encoding::BF16, shape);
            check_product(&device, &linear, Precision::Fast, Encoding::F16, shape);
            check_product(&device, &linear, Precision::Fast, Encoding::Fp8, shape);
        }
    }
}

#[test]
fn weights_of_any_encoding_are_widened() {
    let device = Device::emulated();
    let linear = linear(&device, 1);
    for encoding in encodings().filter(|&encoding| encoding != Encoding::F32) {
        let least = least_len(encoding);
        // Narrow tiles, wide ones; blocks of 32 values end in the middle of a step.
        for shape in [[70, 3 * least, 65], [250, least, 66]] {
            check_product(&device, &linear, Precision::Fast, encoding, shape);
        }
    }
}

#[test]
fn rows_of_any_length_are_multiplied() {
    let device = Device::emulated();
    let linear = linear(&device, 1);
    for encoding in [Encoding::F16, Encoding::BF16, Encoding::Fp8] {
        for k in [1, 31, 33, 65, 100] {
            check_product(&device, &linear, Precision::Fast, encoding, [11, k, 65]);
        }
    }
}

#[test]
fn both_are_of_eight_bits() {
    let device = Device::emulated();
    let linear = linear(&device, 2);
    let own = weights(&device, Encoding::Fp8, [300, 600], &mut Random(2));
    let values = activations(140 * 600, &mut Random(3));
    let mut x = rows(&device, &values, 600);
    multiply(&device, &linear, &mut x, &own.matrix);
    assert!(super::fp8::is_seen(Encoding::Fp8, &x));
    check_several(&device, &linear, 130, [Encoding::Fp8, Encoding::BF16]);
}

#[test]
fn several_products_share_their_input() {
    let device = Device::emulated();
    let linear = linear(&device, 1);
    let [q4, q6] = [BlockFormat::Q4K, BlockFormat::Q6K].map(Encoding::Block);
    check_several(&device, &linear, 130, [Encoding::BF16, Encoding::F16]);
    check_several(&device, &linear, 65, [q4, q6]);
}

#[test]
fn gates_are_applied_to_products() {
    let device = Device::emulated();
    let linear = linear(&device, 1);
    let formats = [BlockFormat::Q4K, BlockFormat::Q8_0].map(Encoding::Block);
    let floats = [Encoding::BF16, Encoding::F16, Encoding::Fp8];
    let encodings = floats.into_iter().chain(formats);
    for (i, encoding) in encodings.enumerate() {
        for shape in [[37, 256, 70], [128, 512, 129], [300, 256, 65]] {
            let case = Case {
                precision: Precision::Fast,
                encodings: [encoding; 2],
                activation: ACTIVATIONS[(i + shape[0]) % 3],
                shape,
            };
            check_gated(&device, &linear, &case);
        }
    }
}

#[test]
fn a_gate_may_have_another_encoding() {
    let device = Device::emulated();
    let case = Case {
        precision: Precision::Fast,
        encodings: [Encoding::BF16, Encoding::Block(BlockFormat::Q6K)],
        activation: Activation::Silu,
        shape: [40, 256, 70],
    };
    check_gated(&device, &linear(&device, 1), &case);
}

#[test]
fn a_buffer_may_have_rows_of_another_length() {
    let device = Device::emulated();
    let linear = linear(&device, 1);
    let mut random = Random(8);
    let mut x = Rows::new(&device, 100, 128).expect("memory");
    for (n, k) in [(100, 128), (80, 96), (65, 128), (120, 160)] {
        let own = weights(&device, Encoding::BF16, [20, k], &mut random);
        let values = activations(n * k, &mut random);
        x.reset(n, k).expect("memory");
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        device.upload(&bytes, x.change(), 0).expect("a copy");
        let got = multiply(&device, &linear, &mut x, &own.matrix);
        let fresh = multiply(
            &device,
            &linear,
            &mut rows(&device, &values, k),
            &own.matrix,
        );
        assert_eq!(got, fresh, "{n} rows of {k}");
    }
}

#[test]
fn graphs_keep_the_maps_of_their_products() {
    let device = Device::emulated();
    let linear = linear(&device, 1);
    let mut random = Random(11);
    let (n, k) = (70, 96);
    let own = weights(&device, Encoding::BF16, [33, k], &mut random);
    let mut x = rows(&device, &activations(n * k, &mut random), k);
    let expected = multiply(&device, &linear, &mut x, &own.matrix);
    let mut out = Rows::new(&device, n, 33).expect("memory");
    let projection = Projection {
        matrix: &own.matrix,
        bias: None,
    };
    let record = || {
        let output = Output::Replace(&mut out);
        linear.multiply(&mut x, &mut [Product { projection, output }])
    };
    let mut graph = device.capture(record).expect("recorded");
    drop(own);
    drop(x);
    device.replay(&mut graph).expect("replayed");
    assert_eq!(read(&device, &out), expected);
}

//! Launches that became one kernel.

use super::*;
use crate::Graph;

/// A gate, a product of it with weights in blocks, a norm, and one with plain numbers, added to the input:
/// each needs all of what the one before has written.
fn step(
    linear: &Linear,
    own: &[Weights],
    x: &mut Rows,
    rest: &mut [Rows; 3],
    norm: &crate::Memory,
) {
    let projection = |i: usize| Projection {
        matrix: &own[i].matrix,
        bias: None,
    };
    let [gated, middle, out] = rest;
    linear
        .multiply_gated(x, projection(0), projection(1), Activation::Silu, gated)
        .expect("launched");
    let output = Output::Replace(middle);
    linear
        .multiply(
            gated,
            &mut [Product {
                projection: projection(2),
                output,
            }],
        )
        .expect("launched");
    out.normalize(middle, norm, (1e-5, 0.0)).expect("launched");
    out.compute().expect("launched");
    let output = Output::Add(middle);
    linear
        .multiply(
            out,
            &mut [Product {
                projection: projection(3),
                output,
            }],
        )
        .expect("launched");
}

/// A step with such weights, recorded, and what it gives.
fn recorded(encoding: Encoding) -> (Device, Rows, Graph, Vec<f32>) {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    let mut random = Random(7);
    let (width, inner) = (512, 768);
    let own = [
        (Encoding::BF16, [inner, width]),
        (Encoding::BF16, [inner, width]),
        (encoding, [width, inner]),
        (Encoding::BF16, [width, width]),
    ];
    let own = own.map(|(encoding, shape)| weights(&device, encoding, shape, &mut random));
    let norm = floats(&device, &activations(width, &mut random));
    let mut x = rows(&device, &activations(width, &mut random), width);
    let mut rest = [inner, width, width].map(|n| Rows::new(&device, 1, n).expect("memory"));
    step(&linear, &own, &mut x, &mut rest, &norm);
    let expected = read(&device, &rest[1]);

    device.begin_capture().expect("nobody captures");
    step(&linear, &own, &mut x, &mut rest, &norm);
    let graph = device.end_capture().expect("it was captured");
    let [_, result, _] = rest;
    (device, result, graph, expected)
}

#[test]
fn launches_of_one_row_become_one_kernel() {
    for encoding in encodings().filter(|&encoding| encoding != Encoding::F32) {
        let (device, result, mut graph, expected) = recorded(encoding);
        assert!(graph.fuse().expect("memory"), "{encoding:?}");
        // Both ways in turn, and then one of them.
        let n_times = if encoding == Encoding::BF16 { 20 } else { 4 };
        for i in 0..n_times {
            let zeros = vec![0; expected.len() * 4];
            device.upload(&zeros, result.values(), 0).expect("a copy");
            device.replay(&mut graph).expect("replayed");
            let found = read(&device, &result);
            assert_eq!(found, expected, "{encoding:?}, replay {i}");
        }
        assert_eq!(graph.best_ms().is_some(), n_times > 16);
    }
}

#[test]
fn what_is_no_launch_of_one_row_stays_as_it_is() {
    let device = Device::for_tests();
    let memory = device.alloc(4).expect("memory");
    let clear = || device.clear(&memory, 0, 4);
    let mut graph = device.capture(clear).expect("recorded");
    assert!(!graph.fuse().expect("nothing to do"));
    device.replay(&mut graph).expect("replayed");
    assert_eq!(graph.best_ms(), None);
    assert_eq!(device.n_fused(), 0);
}

//! Launches that became one kernel.

use ponder_kernels_cpu::BlockFormat;

use super::*;

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

#[test]
fn launches_of_one_row_become_one_kernel() {
    let device = Device::for_tests();
    let linear = Linear::new(&device, Precision::Fast).expect("memory");
    let mut random = Random(7);
    let (width, inner) = (512, 768);
    let blocks = Encoding::Block(BlockFormat::Q4K);
    let own = [
        (Encoding::BF16, [inner, width]),
        (Encoding::BF16, [inner, width]),
        (blocks, [width, inner]),
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
    let mut graph = device.end_capture().expect("it was captured");
    assert!(
        graph.fuse().expect("memory"),
        "all of its kernels are known"
    );
    // Both ways in turn, and then one of them.
    for i in 0..20 {
        let zeros = vec![0; width * 4];
        device.upload(&zeros, rest[1].values(), 0).expect("a copy");
        device.replay(&mut graph).expect("replayed");
        assert_eq!(read(&device, &rest[1]), expected, "replay {i}");
    }

    // What it does not have stays as it is.
    device.begin_capture().expect("nobody captures");
    device.clear(&norm, 0, 4).expect("recorded");
    let mut graph = device.end_capture().expect("it was captured");
    assert!(!graph.fuse().expect("nothing to do"));
}

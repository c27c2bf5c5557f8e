use ponder_kernels_cuda::{Arg, Device};

use crate::support::*;

#[test]
fn values_go_from_lane_to_lane() {
    let device = Device::emulated();
    let out = words(&device, &[0; 6 * 32]);
    run(
        &device,
        "test_shuffles",
        launch(1, 32),
        &[Arg::Memory(&out, 0)],
    );
    let out = read_words(&out, &device);
    for lane in 0..32_usize {
        let sources = [
            (lane + 5) % 32,
            lane ^ 9,
            if lane < 3 { lane } else { lane - 3 },
            if lane + 3 > 31 { lane } else { lane + 3 },
            lane / 8 * 8 + 2,
            if lane % 8 + 5 > 7 { lane } else { lane + 5 },
        ];
        for (i, source) in sources.into_iter().enumerate() {
            assert_eq!(
                out[32 * i + lane] as usize,
                100 + source,
                "{i}, lane {lane}"
            );
        }
    }
}

#[test]
fn halves_of_a_warp_go_their_own_ways() {
    let device = Device::emulated();
    let values: Vec<f32> = (0..32_u8).map(f32::from).collect();
    let (values, sums) = (floats(&device, &values), floats(&device, &[0.0; 32]));
    let args = [Arg::Memory(&values, 0), Arg::Memory(&sums, 0)];
    run(&device, "test_halves", launch(1, 32), &args);
    let lower = 120.0;
    let upper = (120.0 + 256.0) * 16.0 * 16.0;
    let expected: Vec<f32> = (0..32)
        .map(|i| if i < 16 { lower } else { upper })
        .collect();
    assert_eq!(read_floats(&sums, &device), expected);
}

#[test]
fn lanes_vote() {
    let device = Device::emulated();
    let mut values = [3_u32; 32];
    for (values, expected) in [
        (values, [0, 1, 1]),
        (
            {
                values[4] = 20;
                values[31] = 11;
                values
            },
            [0x8000_0010, 1, 0],
        ),
        ([9; 32], [0, 0, 0]),
    ] {
        let (values, out) = (words(&device, &values), words(&device, &[7; 128]));
        let args = [Arg::Memory(&values, 0), Arg::Memory(&out, 0)];
        run(&device, "test_votes", launch(1, 32), &args);
        let out = read_words(&out, &device);
        for (i, &expected) in expected.iter().enumerate() {
            assert!(out[32 * i..][..32].iter().all(|&value| value == expected));
        }
        for (lane, &mask) in out[96..].iter().enumerate() {
            assert_ne!(mask & (1 << lane), 0, "the caller itself is active");
        }
    }
}

#[test]
fn warps_reduce_on_their_own() {
    let device = Device::emulated();
    let values: Vec<f32> = (0..5 * 96).map(|i| ((i * 37) % 101) as f32).collect();
    let memory = floats(&device, &values);
    let (sums, largest) = (floats(&device, &[0.0; 15]), floats(&device, &[0.0; 15]));
    let args = [&memory, &sums, &largest].map(|memory| Arg::Memory(memory, 0));
    run(&device, "test_reductions", launch(5, 96), &args);
    let warps = values.chunks(32);
    let expected: Vec<f32> = warps.clone().map(|warp| warp.iter().sum()).collect();
    assert_eq!(read_floats(&sums, &device), expected);
    let expected: Vec<f32> = warps
        .map(|warp| warp.iter().copied().fold(0.0, f32::max))
        .collect();
    assert_eq!(read_floats(&largest, &device), expected);
}

#[test]
fn a_lane_that_others_wait_for_must_come() {
    let device = Device::emulated();
    let out = floats(&device, &[0.0; 64]);
    let args = [Arg::Memory(&out, 0)];
    let message = message_of(|| run(&device, "test_missing_lane", launch(1, 64), &args));
    assert!(
        message.contains("kernel test_missing_lane, block (0, 0, 0)"),
        "{message}"
    );
    assert!(message.contains("ended"), "{message}");

    let message = message_of(|| run(&device, "test_torn_warp", launch(1, 64), &args));
    assert!(
        message.contains("lanes 0xffff wait at __shfl_xor_sync"),
        "{message}"
    );
    assert!(
        message.contains("lanes 0xffff0000 wait at __syncthreads"),
        "{message}"
    );
    assert!(
        message.contains("warp 1: lanes 0xffffffff wait at __syncthreads"),
        "{message}"
    );

    let message = message_of(|| run(&device, "test_different_operations", launch(1, 32), &args));
    assert!(message.contains("__ballot_sync"), "{message}");
    assert!(message.contains("__shfl_xor_sync"), "{message}");

    // Half a warp has no lanes 16 to 31.
    let (values, sums) = (floats(&device, &[1.0; 16]), floats(&device, &[0.0; 1]));
    let args = [&values, &sums, &sums].map(|memory| Arg::Memory(memory, 0));
    let message = message_of(|| run(&device, "test_reductions", launch(1, 16), &args));
    assert!(
        message.contains("lanes 0xffff0000 are not there"),
        "{message}"
    );

    // The device goes on.
    run(
        &device,
        "test_shuffles",
        launch(1, 32),
        &[Arg::Memory(&words(&device, &[0; 192]), 0)],
    );
}

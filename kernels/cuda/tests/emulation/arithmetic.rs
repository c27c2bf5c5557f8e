use ponder_kernels_cuda::{Arg, Device, Launch};

use crate::support::*;

/// A thread for each number of 16 bits.
const ALL: Launch = Launch {
    grid: [256, 1, 1],
    block: [256, 1, 1],
    shared: 0,
};

fn assert_same(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let is_same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(is_same, "{i:#x}: {found} {expected}");
    }
}

#[test]
fn all_halves_widen() {
    let device = Device::emulated();
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let outs = [(); 2].map(|()| floats(&device, &vec![0.0; all.len()]));
    let args = outs.each_ref().map(|memory| Arg::Memory(memory, 0));
    run(&device, "test_widen", ALL, &args);
    assert_same(&read_floats(&outs[0], &device), &widen_f16(&all));
    assert_same(&read_floats(&outs[1], &device), &widen_bf16(&all));
}

#[test]
fn floats_narrow_to_the_nearest() {
    let device = Device::emulated();
    let outs = [(); 2].map(|()| halves(&device, &vec![0; 1 << 16]));
    // All ways in which the bits that are cut off of either type are below, at or above one half.
    for low in [
        0, 1, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x7fff, 0x8000, 0x8001, 0xf000, 0xffff,
    ] {
        let args = [
            Arg::Memory(&outs[0], 0),
            Arg::Memory(&outs[1], 0),
            Arg::U32(low),
        ];
        run(&device, "test_narrow", ALL, &args);
        let values: Vec<f32> = (0..1 << 16)
            .map(|high| f32::from_bits((high << 16) | low))
            .collect();
        let widened = widen_f16(&read_halves(&outs[0], &device));
        assert_same(&widened, &widen_f16(&narrow_f16(&values)));
        let widened = widen_bf16(&read_halves(&outs[1], &device));
        assert_same(&widened, &widen_bf16(&narrow_bf16(&values)));
    }
}

#[test]
fn bits_are_what_the_manual_says() {
    let device = Device::emulated();
    let (a, b) = (0x80fe_03c5_u32, 0x7f02_fd11_u32);
    let out = words(&device, &[0; 14]);
    let args = [Arg::Memory(&out, 0), Arg::U32(a), Arg::U32(b)];
    run(&device, "test_bits", launch(1, 1), &args);
    let bytes = |word: u32| word.to_le_bytes().map(|byte| i32::from(byte as i8));
    let dot: i32 = bytes(a).iter().zip(bytes(b)).map(|(a, b)| a * b).sum();
    let (a_bytes, b_bytes) = (a.to_le_bytes(), b.to_le_bytes());
    let expected = [
        (dot + 7) as u32,
        // Bytes 0, 5, 2 and 7, the first one lowest.
        u32::from_le_bytes([a_bytes[0], b_bytes[1], a_bytes[2], b_bytes[3]]),
        a.count_ones(),
        a.trailing_zeros() + 1,
        a.leading_zeros(),
        a.reverse_bits(),
        2,
        (-4_i32) as u32,
        0.25_f32.to_bits(),
        b,
        1,
        2.0_f32.to_bits(),
        3.0_f32.to_bits(),
        (dot + 7) as u32,
    ];
    assert_eq!(read_words(&out, &device), expected);
}

#[test]
fn atomics_lose_nothing() {
    let device = Device::emulated();
    let (sum, numbers) = (
        floats(&device, &[0.0]),
        words(&device, &[0, i32::MIN as u32]),
    );
    let seen = words(&device, &[0; 300]);
    let args = [
        Arg::Memory(&sum, 0),
        Arg::Memory(&numbers, 0),
        Arg::Memory(&numbers, 4),
        Arg::Memory(&seen, 0),
    ];
    run(&device, "test_atomics", launch(3, 100), &args);
    assert_eq!(read_floats(&sum, &device), [150.0]);
    assert_eq!(read_words(&numbers, &device), [300, 289]);
    let order = read_words(&seen, &device);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..300).collect::<Vec<_>>());
    assert_ne!(
        order, sorted,
        "threads do not run in the order of their numbers"
    );
}

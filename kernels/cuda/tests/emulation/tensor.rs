use ponder_kernels_cuda::{Arg, Device};

use crate::support::*;

fn product(kernel: &'static str, narrow: fn(&[f32]) -> Vec<u16>, widen: fn(&[u16]) -> Vec<f32>) {
    let device = Device::emulated();
    let values = random(16 * 16 + 16 * 8 + 16 * 8);
    let (a, b) = (narrow(&values[..256]), narrow(&values[256..384]));
    let c = &values[384..];
    let (a_memory, b_memory) = (halves(&device, &a), halves(&device, &b));
    let (c_memory, d_memory) = (floats(&device, c), floats(&device, &[0.0; 128]));
    let args = [&a_memory, &b_memory, &c_memory, &d_memory].map(|memory| Arg::Memory(memory, 0));
    run(&device, kernel, launch(1, 32), &args);
    let (a, b) = (widen(&a), widen(&b));
    for (i, &sum) in read_floats(&d_memory, &device).iter().enumerate() {
        let (row, column) = (i / 8, i % 8);
        let products = (0..16).map(|k| f64::from(a[16 * row + k]) * f64::from(b[8 * k + column]));
        let expected = f64::from(c[i]) + products.sum::<f64>();
        assert!(
            (f64::from(sum) - expected).abs() < 1e-5,
            "{row}, {column}: {sum} {expected}"
        );
    }
}

#[test]
fn fragments_multiply() {
    product("test_product_bf16", narrow_bf16, widen_bf16);
    product("test_product_f16", narrow_f16, widen_f16);
}

#[test]
fn tiles_lie_as_fragments_do() {
    let device = Device::emulated();
    let values: Vec<u16> = (0..256).map(|i| i * 3 + 1).collect();
    let (memory, out) = (halves(&device, &values), words(&device, &[0; 256]));
    let args = [Arg::Memory(&memory, 0), Arg::Memory(&out, 0)];
    run(&device, "test_tiles", launch(1, 32), &args);
    let out = read_halves(&out, &device);
    let at = |tile: usize, row: usize, column: usize| values[tile * 64 + row * 8 + column];
    for lane in 0..32 {
        for tile in 0..4 {
            for i in 0..2 {
                let (row, column) = (lane / 4, 2 * (lane % 4) + i);
                let place = 2 * (4 * lane + tile) + i;
                assert_eq!(out[place], at(tile, row, column));
                assert_eq!(out[256 + place], at(tile, column, row));
            }
        }
    }
}

#[test]
fn copies_come_when_they_are_waited_for() {
    const NOTHING: u32 = u32::MAX;
    let device = Device::emulated();
    let values: Vec<u32> = (100..112).collect();
    let (from, out) = (words(&device, &values), words(&device, &[0; 48]));
    for (is_there, expected) in [(1, values), (0, vec![0; 12])] {
        let args = [
            Arg::Memory(&from, 0),
            Arg::Memory(&out, 0),
            Arg::U32(is_there),
        ];
        run(&device, "test_copies", launch(1, 1), &args);
        for (n, after) in read_words(&out, &device).chunks(12).enumerate() {
            assert_eq!(after[..4 * n], expected[..4 * n], "after {n} groups");
            assert!(after[4 * n..].iter().all(|&word| word == NOTHING));
        }
    }
}

#[test]
fn pipelines_of_copies_need_their_barrier() {
    let device = Device::emulated();
    for n_tiles in [0, 1, 2, 3, 10] {
        let values = random(n_tiles * 64 * 4 + 1);
        let (from, sums) = (floats(&device, &values), floats(&device, &[0.0; 64]));
        let sums_of = |has_barrier| {
            let args = [
                Arg::Memory(&from, 0),
                Arg::Memory(&sums, 0),
                Arg::U32(n_tiles as u32),
                Arg::U32(has_barrier),
            ];
            run(&device, "test_pipeline", launch(1, 64), &args);
            read_floats(&sums, &device)
        };
        let expected: Vec<f32> = (0..64)
            .map(|thread| {
                let quads =
                    (0..n_tiles).map(|tile| &values[(tile * 64 + (thread + 1) % 64) * 4..][..4]);
                quads.fold(0.0, |sum, v| sum + (v[0] + v[1] + v[2] + v[3]))
            })
            .collect();
        assert_eq!(sums_of(1), expected);
        if n_tiles > 0 {
            let message = message_of(|| drop(sums_of(0)));
            assert!(message.contains("a race of this"), "{message}");
        }
    }
}

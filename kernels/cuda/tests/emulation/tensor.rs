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

/// What a code of E4M3 stands for, but for NaN.
fn e4m3(code: u8) -> f32 {
    let (exponent, fraction) = (i32::from(code >> 3 & 15), f32::from(code & 7));
    let size = match exponent {
        0 => fraction / 8.0 * 2.0f32.powi(-6),
        _ => (1.0 + fraction / 8.0) * 2.0f32.powi(exponent - 7),
    };
    if code < 128 { size } else { -size }
}

/// What four bits of E2M1 in the middle of a byte stand for.
fn e2m1(code: u8) -> f32 {
    let size = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code >> 2 & 7)];
    if code & 0x20 == 0 { size } else { -size }
}

#[test]
fn fragments_of_eight_bits_multiply() {
    let device = Device::emulated();
    let bytes = |bytes: &[u8]| {
        let memory = device.alloc(bytes.len()).expect("memory");
        device.upload(bytes, &memory, 0).expect("a copy");
        memory
    };
    let codes: Vec<u8> = (0..768u32).map(|i| (i * 89 + i / 7) as u8).collect();
    let codes: Vec<u8> = codes.into_iter().map(|code| code & !(code & 1)).collect();
    let (a, b) = codes.split_at(512);
    let (a_powers, b_powers): (Vec<u8>, Vec<u8>) = ((120..136).collect(), (124..132).collect());
    let c = random(128);
    for has_powers in [false, true] {
        let memories = [bytes(a), bytes(b), bytes(&a_powers), bytes(&b_powers)];
        let (c_memory, d_memory) = (floats(&device, &c), floats(&device, &[0.0; 128]));
        let powers = |i: usize| match has_powers {
            true => Arg::Memory(&memories[i], 0),
            false => Arg::Null,
        };
        let args = [
            Arg::Memory(&memories[0], 0),
            Arg::Memory(&memories[1], 0),
            powers(2),
            powers(3),
            Arg::Memory(&c_memory, 0),
            Arg::Memory(&d_memory, 0),
        ];
        run(&device, "test_product_fp8", launch(1, 32), &args);
        for (i, &sum) in read_floats(&d_memory, &device).iter().enumerate() {
            let (row, column) = (i / 8, i % 8);
            let products = (0..32).map(|k| {
                let (a, b) = (a[32 * row + k], b[8 * k + column]);
                f64::from(if has_powers { e2m1(a) } else { e4m3(a) }) * f64::from(e4m3(b))
            });
            let products: Vec<f64> = products.collect();
            let power = match has_powers {
                true => 2.0f64.powi(i32::from(a_powers[row]) + i32::from(b_powers[column]) - 254),
                false => 1.0,
            };
            let expected = f64::from(c[i]) + power * products.iter().sum::<f64>();
            let size: f64 = products.iter().map(|x| x.abs()).sum::<f64>() * power + 1.0;
            assert!(
                (f64::from(sum) - expected).abs() < 1e-6 * size,
                "{row}, {column}: {sum} {expected}"
            );
        }
    }
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

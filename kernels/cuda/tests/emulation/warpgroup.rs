use ponder_kernels_cuda::{Arg, Device, Launch, TensorMap};

use crate::support::*;

/// Rows of a tile, and values of a row.
const TILE: usize = 64;

fn map(device: &Device, memory: &ponder_kernels_cuda::Memory, shape: [usize; 2]) -> TensorMap {
    let map = device.tensor_map(memory, shape).expect("it is described");
    map.expect("the processor has maps")
}

fn with_shared(shared: u32, launch: Launch) -> Launch {
    Launch { shared, ..launch }
}

#[test]
fn tiles_come_in_their_pattern_when_they_are_waited_for() {
    const NOTHING: u16 = u16::MAX;
    let device = Device::emulated();
    let shape @ [n_rows, row_len] = [70, 104];
    let values: Vec<u16> = (0..n_rows * row_len).map(|i| i as u16).collect();
    let memory = halves(&device, &values);
    let map = map(&device, &memory, shape);
    let out = words(&device, &[0; 2 * TILE * TILE / 2]);
    for [column, row] in [[0, 0], [64, 0], [0, 64], [64, 64], [128, 0], [0, 128]] {
        let numbers = [column, row, 1].map(|number| Arg::U32(number as u32));
        let args = [
            Arg::Map(&map),
            Arg::Memory(&out, 0),
            numbers[0],
            numbers[1],
            numbers[2],
        ];
        let launch = with_shared(1024 + 8192 + 8, launch(1, 64));
        run(&device, "test_tile", launch, &args);
        let out = read_halves(&out, &device);
        let (before, after) = out.split_at(TILE * TILE);
        assert!(before.iter().all(|&value| value == NOTHING));
        for (r, c) in (0..TILE).flat_map(|r| (0..TILE).map(move |c| (r, c))) {
            let is_there = row + r < n_rows && column + c < row_len;
            let expected = if is_there {
                values[(row + r) * row_len + column + c]
            } else {
                0
            };
            // Chunks of eight values change places, by the last three bits of the row's number.
            let place = r * TILE + ((c / 8) ^ (r % 8)) * 8 + c % 8;
            assert_eq!(after[place], expected, "{r}, {c} from {row}, {column}");
        }
    }
}

#[test]
fn copies_need_a_barrier_that_was_published() {
    let device = Device::emulated();
    let memory = halves(&device, &[0; 64]);
    let map = map(&device, &memory, [1, 64]);
    let out = words(&device, &[0; 4096]);
    let [zero, one] = [0, 1].map(Arg::U32);
    let run_with = |map: Arg<'_>, shared| {
        let launch = with_shared(shared, launch(1, 32));
        let is_published = if shared > 9300 { zero } else { one };
        let args = [map, Arg::Memory(&out, 0), zero, zero, is_published];
        try_run(&device, "test_tile", launch, &args)
    };
    let message = message_of(|| drop(run_with(Arg::Map(&map), 9400)));
    assert!(message.contains("was not published"), "{message}");
    let error = run_with(Arg::U32(0), 9224).expect_err("no map");
    assert!(error.to_string().contains("argument 0"), "{error}");
}

#[test]
fn phases_end_when_all_have_arrived() {
    let device = Device::emulated();
    let phases = |n_bytes, n_more| {
        let out = words(&device, &[0; 3]);
        let args = [Arg::Memory(&out, 0), Arg::U32(n_bytes), Arg::U32(n_more)];
        run(&device, "test_phases", with_shared(8, launch(1, 48)), &args);
        read_words(&out, &device)
    };
    assert_eq!(phases(0, 0), [48, 48, 0]);
    let message = message_of(|| drop(phases(8, 0)));
    assert!(message.contains("nobody can go on"), "{message}");
    assert!(message.contains("wait_for_phase"), "{message}");
    let message = message_of(|| drop(phases(0, 60)));
    assert!(message.contains("more arrivals"), "{message}");
}

/// Products of 64 rows with `n`, of 64 values each, and what they should be.
fn products(kernel: &'static str, n: usize, [adds, is_plain, faults]: [u32; 3]) -> Vec<(f32, f64)> {
    let device = Device::emulated();
    let values = random(64 * TILE + n * TILE + 64 * n);
    let (left, rest) = values.split_at(64 * TILE);
    let (right, before) = rest.split_at(n * TILE);
    let (left, right) = (narrow_bf16(left), narrow_bf16(right));
    let (left_memory, right_memory) = (halves(&device, &left), halves(&device, &right));
    let (before_memory, out) = (floats(&device, before), floats(&device, &vec![0.0; 64 * n]));
    let memories = [&left_memory, &right_memory, &before_memory, &out];
    let [a, b, c, d] = memories.map(|memory| Arg::Memory(memory, 0));
    let [e, f, g] = [adds, is_plain, faults].map(Arg::U32);
    let shared = 1024 + (64 + n as u32) * 128;
    let launch = with_shared(shared, launch(1, 128));
    run(&device, kernel, launch, &[a, b, c, d, e, f, g]);
    let (left, right) = (widen_bf16(&left), widen_bf16(&right));
    let got = read_floats(&out, &device);
    let expected = (0..64 * n).map(|i| {
        let (row, column) = (i / n, i % n);
        let terms = (0..TILE)
            .map(|k| f64::from(left[row * TILE + k]) * f64::from(right[column * TILE + k]));
        let first = if adds == 1 { f64::from(before[i]) } else { 0.0 };
        first + terms.sum::<f64>()
    });
    got.into_iter().zip(expected).collect()
}

#[test]
fn warpgroups_multiply_tiles() {
    for (kernel, n) in [("test_warpgroup_128", 128), ("test_warpgroup_256", 256)] {
        for adds in [0, 1] {
            for is_plain in [0, 1] {
                for (i, (got, expected)) in products(kernel, n, [adds, is_plain, 0])
                    .into_iter()
                    .enumerate()
                {
                    let error = (f64::from(got) - expected).abs();
                    assert!(
                        error < 1e-4,
                        "{kernel} {is_plain} {i}: {got}, not {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn products_need_fences_and_waiting() {
    let products = |faults| products("test_warpgroup_128", 128, [0, 0, faults]);
    let message = message_of(|| drop(products(1)));
    assert!(message.contains("written and not shown"), "{message}");
    let message = message_of(|| drop(products(2)));
    assert!(message.contains("fence_products"), "{message}");
    assert!(products(4).iter().all(|(got, _)| got.is_nan()));
}

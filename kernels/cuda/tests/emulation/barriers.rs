use ponder_kernels_cuda::{Arg, Device, Launch};

use crate::support::*;

fn turn(device: &Device, n_threads: u32, n_times: u32) -> bool {
    let values: Vec<u32> = (0..3 * n_threads).collect();
    let memory = words(device, &values);
    let args = [Arg::Memory(&memory, 0), Arg::U32(n_times)];
    let launch = Launch {
        shared: 4 * n_threads,
        ..launch(3, n_threads)
    };
    run(device, "test_turn", launch, &args);
    let expected: Vec<u32> = if n_times.is_multiple_of(2) {
        values
    } else {
        let blocks = values.chunks(n_threads as usize);
        blocks
            .flat_map(|block| block.iter().rev().copied())
            .collect()
    };
    read_words(&memory, device) == expected
}

#[test]
fn threads_wait_for_each_other() {
    let device = Device::emulated();
    for n_threads in [1, 31, 32, 33, 64, 100, 1024] {
        for n_times in [1, 2, 5] {
            assert!(turn(&device, n_threads, n_times), "{n_threads}, {n_times}");
        }
    }
}

#[test]
fn threads_may_end_before_the_barriers_of_others() {
    let device = Device::emulated();
    let out = words(&device, &[0; 128]);
    run(
        &device,
        "test_early_end",
        launch(1, 128),
        &[Arg::Memory(&out, 0)],
    );
    let sum = (1..128).step_by(2).sum::<u32>();
    let expected: Vec<u32> = (0..128).map(|i| if i % 2 == 1 { sum } else { 0 }).collect();
    assert_eq!(read_words(&out, &device), expected);
}

#[test]
fn threads_may_not_wait_at_different_barriers() {
    let device = Device::emulated();
    let out = words(&device, &[0; 64]);
    let args = [Arg::Memory(&out, 0)];
    let message = message_of(|| run(&device, "test_two_barriers", launch(1, 64), &args));
    assert!(message.contains("while others wait at"), "{message}");
    assert!(message.contains("barriers.cu:"), "{message}");
    // Where only one of the two has threads there is nothing to complain about.
    run(&device, "test_two_barriers", launch(1, 32), &args);
}

#[test]
fn shared_memory_is_undefined_until_it_is_written() {
    const UNWRITTEN: u32 = u32::MAX;
    let device = Device::emulated();
    let out = words(&device, &[0; 3 * 32]);
    let launch = Launch {
        shared: 32,
        ..launch(3, 8)
    };
    for _ in 0..2 {
        run(&device, "test_unwritten", launch, &[Arg::Memory(&out, 0)]);
        for block in read_words(&out, &device).chunks(32) {
            assert_eq!(block[..16], [UNWRITTEN; 16]);
            assert_eq!(block[16..24], [5; 8]);
            assert_eq!(block[24..], [UNWRITTEN; 8]);
        }
    }
    let launch = Launch {
        grid: [1, 1, 1],
        ..launch
    };
    run(
        &device,
        "test_unwritten_floats",
        launch,
        &[Arg::Memory(&out, 0)],
    );
    let floats = read_floats(&out, &device);
    assert!(floats[..16].iter().all(|value| value.is_nan()));
    assert_eq!(floats[16..24], [5.0; 8]);
}

#[test]
fn each_thread_runs_once_at_its_place() {
    let device = Device::emulated();
    let (grid, block) = ([3, 2, 4], [5, 3, 2]);
    let n_threads = (3 * 2 * 4 * 5 * 3 * 2) as usize;
    let out = words(&device, &vec![0; 4 * n_threads]);
    let launch = Launch {
        grid,
        block,
        shared: 0,
    };
    run(&device, "test_places", launch, &[Arg::Memory(&out, 0)]);
    let out = read_words(&out, &device);
    let mut places = out.chunks(4);
    let order = |n: [u32; 3]| {
        (0..n[2]).flat_map(move |z| (0..n[1]).flat_map(move |y| (0..n[0]).map(move |x| [x, y, z])))
    };
    for [i, j, k] in order(grid) {
        for [x, y, z] in order(block) {
            let place = places.next().expect("a place for each thread");
            assert_eq!(place, [x + 100 * i, y + 100 * j, z + 100 * k, 1]);
        }
    }
}

#[test]
fn one_block_is_the_last_one() {
    let device = Device::emulated();
    let counters = words(&device, &[0; 2]);
    for n in 1..4 {
        let args = [Arg::Memory(&counters, 0), Arg::Memory(&counters, 4)];
        run(&device, "test_last_block", launch(13, 64), &args);
        assert_eq!(read_words(&counters, &device), [0, n]);
    }
}

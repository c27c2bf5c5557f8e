use ponder_kernels_cuda::{Arg, Device};

use crate::support::*;

const NOTHING: u32 = 0;
const BLOCK: u32 = 1;
const WARP: u32 = 2;
const SHUFFLE: u32 = 3;

/// Runs a kernel whose threads access what those ahead of them do.
fn access_of_others(kernel: &'static str, n_threads: u32, n_ahead: u32, barrier: u32) -> Vec<u32> {
    let device = Device::emulated();
    let out = words(&device, &vec![0; n_threads as usize]);
    let args = [Arg::Memory(&out, 0), Arg::U32(n_ahead), Arg::U32(barrier)];
    run(&device, kernel, launch(1, n_threads), &args);
    read_words(&out, &device)
}

#[test]
fn accesses_of_others_need_a_barrier() {
    for kernel in ["test_read_of_others", "test_write_after_read"] {
        let expected = |n: u32, n_ahead| (0..n).map(|i| (i + n_ahead) % n).collect::<Vec<_>>();
        for (n_threads, n_ahead, barrier) in [
            (64, 5, BLOCK),
            (64, 0, NOTHING),
            (32, 5, WARP),
            (1, 1, NOTHING),
        ] {
            let found = access_of_others(kernel, n_threads, n_ahead, barrier);
            assert_eq!(found, expected(n_threads, n_ahead));
        }
        for (n_threads, n_ahead, barrier) in [
            (64, 5, NOTHING),
            (64, 32, WARP),
            (32, 5, NOTHING),
            (64, 1, WARP),
        ] {
            let message = message_of(|| {
                access_of_others(kernel, n_threads, n_ahead, barrier);
            });
            assert!(message.contains("a race of this"), "{message}");
            assert!(message.contains("of the block"), "{message}");
            assert!(message.contains("here races.cu:"), "{message}");
            assert!(message.contains("there races.cu:"), "{message}");
        }
    }
}

#[test]
fn shuffles_order_nothing() {
    let message = message_of(|| {
        access_of_others("test_read_of_others", 32, 1, SHUFFLE);
    });
    assert!(message.contains("a race of this"), "{message}");
}

#[test]
fn the_order_of_threads_is_left_to_chance() {
    let device = Device::emulated();
    let expected: Vec<u32> = (1..65).map(|thread| thread % 64).collect();
    let out = words(&device, &[0; 64]);
    let n_right = (0..20)
        .filter(|_| {
            run(
                &device,
                "test_unreported",
                launch(1, 64),
                &[Arg::Memory(&out, 0)],
            );
            read_words(&out, &device) == expected
        })
        .count();
    assert!(n_right <= 1, "{n_right} of 20 launches go well");
}

#[test]
fn blocks_know_nothing_of_each_other() {
    let device = Device::emulated();
    let (values, out) = (words(&device, &[0; 9]), words(&device, &[0; 9]));
    let args = |n_ahead| {
        [
            Arg::Memory(&values, 0),
            Arg::Memory(&out, 0),
            Arg::U32(n_ahead),
        ]
    };
    for _ in 0..2 {
        run(&device, "test_blocks", launch(9, 32), &args(0));
        assert_eq!(read_words(&out, &device), (0..9).collect::<Vec<_>>());
    }
    let message = message_of(|| run(&device, "test_blocks", launch(9, 32), &args(4)));
    assert!(
        message.contains("by thread 0 of another block"),
        "{message}"
    );
    assert!(message.contains("races.cu:"), "{message}");
}

#[test]
fn blocks_add_with_care() {
    let device = Device::emulated();
    let sum = words(&device, &[0]);
    let args = |n_careless| [Arg::Memory(&sum, 0), Arg::U32(n_careless)];
    run(&device, "test_sum", launch(9, 32), &args(0));
    // Alone it does not matter.
    run(&device, "test_sum", launch(1, 32), &args(1));
    assert_eq!(read_words(&sum, &device), [10]);
    for n_careless in [1, 9] {
        let message = message_of(|| run(&device, "test_sum", launch(9, 32), &args(n_careless)));
        assert!(message.contains("of another block"), "{message}");
    }
}

#[test]
fn parts_of_words_are_on_their_own() {
    let device = Device::emulated();
    let (values, bytes) = (halves(&device, &[3; 128]), halves(&device, &[0x0303; 64]));
    let args = [Arg::Memory(&values, 0), Arg::Memory(&bytes, 0)];
    run(&device, "test_parts_of_words", launch(1, 128), &args);
    let mut expected = [5; 128];
    (expected[0], expected[127]) = (4, 3);
    assert_eq!(read_halves(&values, &device), expected);
    let mut expected = [0x0505; 64];
    (expected[0], expected[63]) = (0x0503, 0x0305);
    assert_eq!(read_halves(&bytes, &device), expected);
}

#[test]
fn who_comes_last_knows_the_others() {
    let device = Device::emulated();
    let (parts, numbers) = (words(&device, &[0; 13]), words(&device, &[0; 2]));
    for _ in 0..3 {
        let args = [(&parts, 0), (&numbers, 0), (&numbers, 4)];
        let args = args.map(|(memory, offset)| Arg::Memory(memory, offset));
        run(&device, "test_sum_of_parts", launch(13, 64), &args);
        assert_eq!(read_words(&numbers, &device), [0, 78]);
    }
}

#[test]
fn blocks_wait_for_each_other() {
    let run_with = |n_awaited| {
        let device = Device::emulated();
        let (values, out) = (words(&device, &[0; 7]), words(&device, &[0; 7]));
        let n_arrived = words(&device, &[0]);
        let args = [
            Arg::Memory(&values, 0),
            Arg::Memory(&out, 0),
            Arg::Memory(&n_arrived, 0),
            Arg::U32(n_awaited),
        ];
        run(&device, "test_blocks_that_wait", launch(7, 64), &args);
        read_words(&out, &device)
    };
    for _ in 0..5 {
        let expected: Vec<u32> = (0..7).map(|i| 10 * i + (i + 1) % 7).collect();
        assert_eq!(run_with(7), expected);
        let message = message_of(|| drop(run_with(0)));
        assert!(message.contains("of another block"), "{message}");
        let message = message_of(|| drop(run_with(8)));
        assert!(
            message.contains("8 arrivals in vain: there are 7"),
            "{message}"
        );
    }
}

use ponder_kernels_cuda::{Arg, Device, Launch};

use crate::support::*;

/// What is said of a launch of one warp with memory of `len` bytes, a number, and room for a result.
fn said_of(kernel: &'static str, len: usize, number: u32, has_result: bool) -> String {
    let device = Device::emulated();
    let memory = device.alloc(len).expect("there is room");
    let result = words(&device, &[0; 4]);
    let mut args = vec![Arg::Memory(&memory, 0), Arg::U32(number)];
    if has_result {
        args.push(Arg::Memory(&result, 0));
    }
    let message = message_of(|| run(&device, kernel, launch(1, 32), &args));
    assert!(message.contains(kernel), "{message}");
    // What was written beside it would be found again when the memory is given back.
    std::mem::forget(memory);
    message
}

#[test]
fn accesses_beside_memory_are_found() {
    let message = said_of("test_write_at", 1000, 1000, false);
    assert!(
        message.contains("thread (3, 0, 0): write of 1 bytes beside memory"),
        "{message}"
    );
    assert!(
        message.contains("at byte 1000 of memory of 1000 bytes"),
        "{message}"
    );
    assert!(message.contains("here faults.cu:"), "{message}");
    let message = said_of("test_write_before", 1024, 1, false);
    assert!(
        message.contains("1 bytes before memory of 1024 bytes"),
        "{message}"
    );
    let message = said_of("test_read_at", 0, 0, true);
    assert!(
        message.contains("read of 1 bytes beside memory"),
        "{message}"
    );
    // Where the pages end.
    for kernel in ["test_write_at", "test_read_at"] {
        let message = said_of(kernel, 4096, 4097, kernel == "test_read_at");
        assert!(
            message.contains("thread (3, 0, 0): access to 0x"),
            "{message}"
        );
        assert!(
            message.contains("at byte 4097 of memory of 4096 bytes"),
            "{message}"
        );
        assert!(message.contains("here faults.cu:"), "{message}");
    }
}

#[test]
fn what_was_written_beside_memory_is_found() {
    let message = said_of("test_fill", 1000, 1003, false);
    assert!(
        message.contains("3 bytes behind memory of 1000 bytes were written"),
        "{message}"
    );
}

#[test]
fn vectors_are_aligned() {
    let message = said_of("test_read_vector", 64, 2, true);
    assert!(message.contains("is not aligned to 16"), "{message}");
    assert!(message.contains("faults.cu:"), "{message}");
    let device = Device::emulated();
    let (memory, out) = (
        words(&device, &[1, 2, 3, 4, 5, 6, 7, 8]),
        words(&device, &[0]),
    );
    let args = [Arg::Memory(&memory, 0), Arg::U32(4), Arg::Memory(&out, 0)];
    run(&device, "test_read_vector", launch(1, 32), &args);
    assert_eq!(read_words(&out, &device), [13]);
}

#[test]
fn arrays_have_bounds() {
    let message = said_of("test_index", 4, 4, false);
    assert!(
        message.contains("index 4 is outside its array"),
        "{message}"
    );
    let device = Device::emulated();
    let out = words(&device, &[0]);
    let launch = Launch {
        shared: 64,
        ..launch(1, 1)
    };
    let args = |index| [Arg::Memory(&out, 0), Arg::U32(index)];
    run(&device, "test_dynamic_index", launch, &args(15));
    assert_eq!(read_words(&out, &device), [1]);
    let message = message_of(|| run(&device, "test_dynamic_index", launch, &args(16)));
    assert!(message.contains("access to 0x"), "{message}");
}

#[test]
fn shifts_are_below_the_width() {
    let message = said_of("test_shift", 4, 32, false);
    assert!(message.contains("shift by 32 bits"), "{message}");
}

#[test]
fn a_full_stack_is_found() {
    let message = said_of("test_descent", 4, 1_000_000, false);
    assert!(message.contains("stack is full"), "{message}");
}

#[test]
fn copies_are_aligned() {
    let device = Device::emulated();
    let (from, out) = (floats(&device, &[1.0; 16]), floats(&device, &[0.0]));
    let args = |offset| {
        [
            Arg::Memory(&from, 0),
            Arg::Memory(&out, 0),
            Arg::U32(offset),
        ]
    };
    run(&device, "test_copy_of_unaligned", launch(1, 1), &args(4));
    assert_eq!(read_floats(&out, &device), [1.0]);
    let kernel = "test_copy_of_unaligned";
    let message = message_of(|| run(&device, kernel, launch(1, 1), &args(2)));
    assert!(message.contains("copy_async_16 from"), "{message}");
}

#[test]
fn memory_of_another_device_is_refused() {
    let (device, other) = (Device::emulated(), Device::emulated());
    let out = words(&other, &[0; 128]);
    let args = [Arg::Memory(&out, 0)];
    let message = message_of(|| run(&device, "test_early_end", launch(1, 128), &args));
    assert!(message.contains("memory of another device"), "{message}");
}

#[test]
fn truth_values_are_written() {
    let message = said_of("test_unwritten_truth", 128, 0, false);
    assert!(message.contains("255 is no truth value at"), "{message}");
    let device = Device::emulated();
    let out = words(&device, &[0; 32]);
    let args = [Arg::Memory(&out, 0), Arg::U32(1)];
    run(&device, "test_unwritten_truth", launch(1, 32), &args);
    assert_eq!(read_words(&out, &device), [2; 32]);
}

#[test]
fn variables_and_what_a_launch_gives_fit_together() {
    let device = Device::emulated();
    let out = words(&device, &[0; 32]);
    let try_with = |shared: u32, n_used: u32| {
        let args = [Arg::Memory(&out, 0), Arg::U32(n_used)];
        let launch = Launch {
            shared,
            ..launch(1, 32)
        };
        run(&device, "test_room", launch, &args);
    };
    try_with(99 * 1024 - 400, 100);
    try_with(1024, 12 * 1024);
    for (shared, n_used) in [(99 * 1024 - 400, 101), (0, 12 * 1024 + 1)] {
        let message = message_of(|| try_with(shared, n_used));
        assert!(
            message.contains("bytes of shared variables beside"),
            "{message}"
        );
    }
}

use ponder_kernels_cuda::{Arg, Device};

use crate::support::*;

#[test]
fn what_no_kernel_has_written_may_be_read_early() {
    let device = Device::emulated();
    let [first, second] = [0, 1].map(|_| words(&device, &[5; 32]));
    let kernel = "test_read_early";
    let args = [Arg::Memory(&first, 0), Arg::Memory(&second, 0)];
    run(&device, kernel, launch(1, 32), &args);
    assert_eq!(read_words(&second, &device), [6; 32]);
    let args = [Arg::Memory(&second, 0), Arg::Memory(&first, 0)];
    let message = message_of(|| run(&device, kernel, launch(1, 32), &args));
    assert!(message.contains("before earlier launches are awaited"));
    assert!(message.contains("there overlap.cu:6"), "{message}");
}

#[test]
fn nothing_is_written_early() {
    let device = Device::emulated();
    let memory = words(&device, &[0; 32]);
    let args = [Arg::Memory(&memory, 0)];
    let message = message_of(|| run(&device, "test_write_early", launch(1, 32), &args));
    assert!(message.contains("there overlap.cu:13"), "{message}");
    // Whichever thread comes first.
    for early in 0..32 {
        let args = [Arg::Memory(&memory, 0), Arg::U32(early)];
        let message = message_of(|| run(&device, "test_one_is_early", launch(1, 32), &args));
        assert!(message.contains("there overlap.cu:23"), "{message}");
    }
}

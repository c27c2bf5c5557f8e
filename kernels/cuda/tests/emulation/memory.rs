use ponder_kernels_cuda::{Arg, CudaError, Device, Launch};

use crate::support::*;

#[test]
fn memory_is_aligned_and_undefined() {
    let device = Device::emulated();
    let memories =
        [0, 1, 255, 256, 257, 70_000].map(|len| device.alloc(len).expect("there is room"));
    for memory in &memories {
        let mut bytes = vec![0; memory.len()];
        device.download(memory, 0, &mut bytes).expect("a download");
        assert!(bytes.iter().all(|&byte| byte == 0xff));
    }
}

#[test]
fn bytes_go_there_and_back() {
    let device = Device::emulated();
    let (one, two) = (words(&device, &[1, 2, 3, 4]), words(&device, &[5, 6, 7, 8]));
    device.copy((&one, 4), (&two, 8), 8).expect("a copy");
    assert_eq!(read_words(&two, &device), [5, 6, 2, 3]);
    device.copy((&two, 0), (&two, 8), 8).expect("a copy");
    assert_eq!(read_words(&two, &device), [5, 6, 5, 6]);
    device.clear(&two, 4, 8).expect("a clear");
    assert_eq!(read_words(&two, &device), [5, 0, 0, 6]);
    device.upload(&[9, 0, 0, 0], &two, 12).expect("an upload");
    assert_eq!(read_words(&two, &device), [5, 0, 0, 9]);
}

#[test]
fn memory_has_an_end() {
    let device = Device::emulated();
    let free = device.free_memory().expect("a number");
    let memory = device.alloc(1 << 20).expect("there is room");
    assert_eq!(device.free_memory().expect("a number"), free - (1 << 20));
    match device.alloc(free) {
        Err(CudaError::OutOfMemory {
            wanted,
            free: left,
            total,
        }) => assert_eq!((wanted, left), (total, total - 1)),
        other => panic!("{other:?}"),
    }
    drop(memory);
    assert_eq!(device.free_memory().expect("a number"), free);
}

#[test]
fn launches_that_no_device_runs_are_refused() {
    let device = Device::emulated();
    let out = words(&device, &[0; 4]);
    let is_refused = |kernel: &'static str, launch: Launch, args: &[Arg<'_>]| {
        let error = try_run(&device, kernel, launch, args).expect_err("it must not run");
        assert!(matches!(error, CudaError::Driver { .. }));
        error.to_string()
    };
    let args = [Arg::Memory(&out, 0)];
    for wrong in [
        launch(1, 1025),
        launch(0, 32),
        launch(1, 0),
        Launch {
            grid: [1, 65536, 1],
            ..launch(1, 32)
        },
        Launch {
            block: [1, 1, 65],
            ..launch(1, 32)
        },
        Launch {
            shared: 99 * 1024 + 1,
            ..launch(1, 32)
        },
    ] {
        assert!(is_refused("test_places", wrong, &args).contains("test_places"));
    }
    assert!(is_refused("test_nothing", launch(1, 32), &args).contains("test_nothing"));
    is_refused("test_places", launch(1, 32), &[]);
    is_refused("test_places", launch(1, 32), &[args[0], args[0]]);
    is_refused("test_places", launch(1, 32), &[Arg::U32(1)]);
    is_refused("test_write_at", launch(1, 32), &[args[0], Arg::F32(1.0)]);
    is_refused("test_write_at", launch(1, 32), &[args[0], args[0]]);
}

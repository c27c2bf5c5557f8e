//! The driver's side of a device, with a driver that does everything as late as it may.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::embedded::MODULES;
use super::simulated::{API, Launched, World, set_n_args, world};
use super::*;
use crate::device::delivery::testing::Halves;
use crate::device::{Cargo, Device, MAX_PARTS, Part, program};
use crate::elementwise;

fn driver() -> Result<Driver, CudaError> {
    Driver::open_by(&API, 0)
}

fn device() -> Device {
    Device::new(Arc::new(driver().expect("a device")))
}

fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i * 7 + seed * 13 + i / 251) as u8)
        .collect()
}

/// The error of opening a device that differs from the usual one.
fn error_where(change: impl FnOnce(&mut World)) -> CudaError {
    world(change);
    driver().expect_err("no device")
}

#[test]
fn uploads_are_kept_until_the_device_has_read_them() {
    let device = device();
    let lens = [
        0,
        1,
        4096,
        65536,
        65537,
        1 << 20,
        (16 << 20) + 1,
        (50 << 20) + 3,
    ];
    let mut all = Vec::new();
    for round in 0..40 {
        for (i, &len) in lens.iter().enumerate() {
            if len > 1 << 20 && round > 0 {
                continue;
            }
            let bytes = bytes(len, 8 * round + i);
            let memory = device.alloc(len).expect("memory");
            device.upload(&bytes, &memory, 0).expect("uploaded");
            all.push((bytes, memory));
        }
    }
    for (bytes, memory) in &all {
        let mut found = vec![0; bytes.len()];
        device.download(memory, 0, &mut found).expect("downloaded");
        assert!(*bytes == found, "{} bytes", bytes.len());
    }
}

fn halves(len: usize, n_in_part: usize) -> Halves {
    let bytes = bytes(len, len);
    Halves { bytes, n_in_part }
}

#[test]
fn what_uses_memory_comes_after_what_is_delivered_to_it() {
    let device = device();
    let all: Vec<_> = [2, 20_000, 4096, 131_072, 2, 600_000]
        .map(|len| (len, device.deliver(halves(len, 4096)).expect("memory")))
        .into();
    // Not in the order in which they come, and each by another kind of use.
    for (i, (len, memory)) in all.iter().enumerate().rev() {
        let mut wanted = bytes(*len, *len);
        match i % 3 {
            0 => device.clear(memory, 0, 1).map(|()| wanted[0] = 0),
            1 => device
                .upload(&[7], memory, *len - 1)
                .map(|()| wanted[*len - 1] = 7),
            _ => Ok(()),
        }
        .expect("used");
        let copied = device.alloc(*len).expect("memory");
        device.copy((memory, 0), (&copied, 0), *len).expect("used");
        let mut found = vec![0; *len];
        device.download(&copied, 0, &mut found).expect("downloaded");
        assert!(found == wanted, "{len} bytes");
    }
    let n_pinned = world(|world| world.n_pinned());
    assert!(n_pinned <= 8 * 8192 + 10 * (1 << 20), "{n_pinned} bytes");
}

#[test]
fn a_kernel_waits_for_what_is_delivered_to_its_arguments() {
    let device = device();
    let memory = device.deliver(halves(64, 16)).expect("memory");
    let address = memory.range(0, 0);
    set_n_args(1);
    let launch = Launch {
        grid: [1; 3],
        block: [32, 1, 1],
        shared: 0,
    };
    // SAFETY: this driver runs no kernels.
    unsafe { device.launch(MODULES[0].kernels[0], launch, &[Arg::Memory(&memory, 0)]) }
        .expect("launched");
    device.synchronize().expect("no failure");
    let launched = world(|world| world.launches[0].clone());
    assert_eq!(launched.args, [address]);
    assert_eq!(launched.first_byte, Some(bytes(64, 64)[0]));
}

/// Takes its time, or fails in its way.
#[derive(Debug)]
struct Slow {
    n_written: Arc<AtomicUsize>,
    panics: bool,
}

impl Cargo for Slow {
    fn len(&self) -> usize {
        1000
    }

    fn n_pieces(&self) -> usize {
        1000
    }

    fn piece_len(&self) -> usize {
        1
    }

    fn write(&self, piece: usize, _: &mut [u8]) -> [Part; MAX_PARTS] {
        assert!(!self.panics, "no such bytes");
        std::thread::sleep(std::time::Duration::from_millis(1));
        self.n_written.fetch_add(1, Ordering::Relaxed);
        let mut parts = [Part::default(); MAX_PARTS];
        parts[0] = Part { at: piece, len: 1 };
        parts
    }
}

#[test]
fn memory_that_is_freed_gets_nothing_any_more() {
    let device = device();
    let n_written = Arc::new(AtomicUsize::new(0));
    let slow = Slow {
        n_written: Arc::clone(&n_written),
        panics: false,
    };
    let memory = device.deliver(slow).expect("memory");
    let next = device.deliver(halves(100, 9)).expect("memory");
    drop(memory);
    let n_before = n_written.load(Ordering::Relaxed);
    let mut found = vec![0; 100];
    device
        .download(&next, 0, &mut found)
        .expect("the next one comes");
    assert_eq!(found, bytes(100, 100));
    assert_eq!(n_written.load(Ordering::Relaxed), n_before);
    assert!(n_before < 1000, "{n_before}");
}

#[test]
fn failures_on_the_way_are_those_of_the_first_use() {
    let device = device();
    world(|world| world.delivering = Status(700));
    // A thread waits when it makes its second piece.
    let memory = device.deliver(halves(64, 1)).expect("memory");
    for _ in 0..2 {
        let error = device.clear(&memory, 0, 1).expect_err("it did not come");
        assert!(matches!(error, CudaError::Lost { .. }), "{error}");
    }
    device
        .deliver(halves(64, 1))
        .expect_err("nothing comes any more");
    world(|world| world.delivering = Status::SUCCESS);
}

#[test]
fn a_thread_that_panics_is_a_failure_too() {
    let device = device();
    let slow = Slow {
        n_written: Arc::default(),
        panics: true,
    };
    let memory = device.deliver(slow).expect("memory");
    let error = device.clear(&memory, 0, 1).expect_err("it did not come");
    assert!(error.to_string().contains("panicked"), "{error}");
}

#[test]
fn small_uploads_do_not_wait() {
    let device = device();
    let memory = device.alloc(4096).expect("memory");
    world(|world| world.waiting = Status(700));
    // 8 parts of 128 KB, one of which is being filled.
    for i in 0..8 * 32 {
        device
            .upload(&bytes(4096, i), &memory, 0)
            .expect("uploaded");
    }
    let error = device
        .upload(&bytes(4096, 0), &memory, 0)
        .expect_err("it had to wait");
    assert!(matches!(error, CudaError::Lost { .. }), "{error}");
    world(|world| world.waiting = Status::SUCCESS);
}

#[test]
fn what_is_kept_in_the_machine_comes_back() {
    let device = device();
    let memory = device.alloc(1000).expect("memory");
    let mut found = vec![0; 1000];
    device
        .upload(&bytes(1000, 0), &memory, 0)
        .expect("uploaded");
    device.download(&memory, 0, &mut found).expect("downloaded");
    // Also where no more memory can be pinned.
    for (i, pinning) in [Status::SUCCESS, Status::OUT_OF_MEMORY]
        .into_iter()
        .enumerate()
    {
        world(|world| world.pinning = pinning);
        let n_held = world(|world| world.n_held);
        let kept = device.host_memory(2000).expect("memory");
        assert_eq!(world(|world| world.n_held) - n_held, 1 - i, "pinned memory");
        let bytes = bytes(1000, i);
        device.upload(&bytes, &memory, 0).expect("uploaded");
        device.keep((&memory, 0), (&kept, 500), 1000).expect("kept");
        device.clear(&memory, 0, 1000).expect("cleared");
        device
            .restore((&kept, 510), (&memory, 10), 900)
            .expect("restored");
        drop(kept);
        device.download(&memory, 0, &mut found).expect("downloaded");
        assert!(found[10..910] == bytes[10..910]);
        assert!(
            found[..10]
                .iter()
                .chain(&found[910..])
                .all(|&byte| byte == 0)
        );
    }
    world(|world| world.pinning = Status::SUCCESS);
}

#[test]
fn arguments_are_packed_as_kernels_read_them() {
    let device = device();
    let kernel = MODULES[0].kernels[0];
    let memory = device.alloc(1024).expect("memory");
    let launch = Launch {
        grid: [1, 2, 3],
        block: [4, 5, 6],
        shared: 7,
    };
    let args = [
        Arg::Memory(&memory, 16),
        Arg::Null,
        Arg::U32(u32::MAX),
        Arg::F32(-1.5),
    ];
    set_n_args(args.len());
    // SAFETY: this driver runs no kernels.
    unsafe { device.launch(kernel, launch, &args) }.expect("launched");
    assert!(world(|world| world.launches.is_empty()));
    device.synchronize().expect("no failure");
    let address = memory.range(0, 0);
    let wanted = Launched {
        kernel: kernel.to_owned(),
        sizes: [1, 2, 3, 4, 5, 6, 7],
        first_byte: None,
        args: vec![
            address + 16,
            0,
            u64::from(u32::MAX),
            u64::from((-1.5_f32).to_bits()),
        ],
        overlaps: MODULES[0].overlapping.contains(&kernel),
        cooperates: false,
    };
    assert_eq!(world(|world| world.launches.clone()), [wanted]);

    let too_many = [Arg::Null; MAX_ARGS + 1];
    // SAFETY: as above.
    let error = unsafe { device.launch(kernel, launch, &too_many) }.expect_err("too many");
    assert!(error.to_string().contains("33 arguments"), "{error}");
}

#[test]
fn kernels_overlap_if_they_await_each_other() {
    let launch = Launch {
        grid: [1; 3],
        block: [32, 1, 1],
        shared: 0,
    };
    for made_for in [90, 75] {
        world(|world| world.made_for = made_for);
        let device = device();
        for module in MODULES {
            for &kernel in module.kernels {
                // SAFETY: this driver runs no kernels.
                unsafe { device.launch(kernel, launch, &[]) }.expect("launched");
            }
        }
        device.synchronize().expect("no failure");
        let launches = world(|world| std::mem::take(&mut world.launches));
        let overlapping = launches.iter().filter(|launched| launched.overlaps);
        let overlapping: Vec<&str> = overlapping.map(|launched| &*launched.kernel).collect();
        let wanted = MODULES.iter().flat_map(|module| module.overlapping);
        let wanted = wanted.copied().filter(|_| made_for >= 90);
        assert_eq!(overlapping, wanted.collect::<Vec<_>>());
        let cooperating = launches.iter().filter(|launched| launched.cooperates);
        let cooperating: Vec<&str> = cooperating.map(|launched| &*launched.kernel).collect();
        assert_eq!(cooperating, [program::KERNEL]);
    }
}

#[test]
fn matrices_are_described_where_kernels_copy_by_maps() {
    let device = device();
    let memory = device.alloc(24 * 40 * 2).expect("memory");
    let map = device.tensor_map(&memory, [24, 40]).expect("described");
    assert_eq!(map.is_some(), device.has_tensor_maps());
    // Whether the kernels of this build can be chosen.
    assert_eq!(map.is_some(), embedded::ARCHITECTURES.contains(&"90a"));
    let Some(map) = map else {
        return;
    };
    let none = device.tensor_map(&memory, [0, 40]).expect("nothing");
    assert!(none.is_none());
    let address = memory.range(0, 0);
    // Values of 16 bits, in tiles of 64 rows of 64; a pattern of 128 bytes, whole lines, and zeros.
    let wanted = [address, 40, 24, 80, 64, 64, 1, 1, 1, 0, 3, 3, 0];
    let words = map.encoded().0.as_chunks().0.iter();
    let words: Vec<u64> = words.map(|&word| u64::from_ne_bytes(word)).collect();
    assert_eq!(words[..wanted.len()], wanted);

    let launch = Launch {
        grid: [1; 3],
        block: [1; 3],
        shared: 0,
    };
    set_n_args(2);
    // SAFETY: this driver runs no kernels.
    unsafe {
        device.launch(
            MODULES[0].kernels[0],
            launch,
            &[Arg::Map(&map), Arg::U32(7)],
        )
    }
    .expect("launched");
    device.synchronize().expect("no failure");
    // The map itself is what the argument points to.
    assert_eq!(world(|world| world.launches[0].args.clone()), [address, 7]);
}

#[test]
fn other_devices_have_no_tensor_maps() {
    world(|world| world.capability = (12, 0));
    let device = device();
    let memory = device.alloc(128).expect("memory");
    let map = device.tensor_map(&memory, [1, 64]).expect("no failure");
    assert!(map.is_none());
}

#[test]
fn more_shared_memory_is_asked_for_once() {
    let device = device();
    let kernel = MODULES[0].kernels[0];
    let mut asked = Vec::new();
    for shared in [48 << 10, 100 << 10, 64 << 10, 100 << 10, 200 << 10] {
        let launch = Launch {
            grid: [1; 3],
            block: [32, 1, 1],
            shared,
        };
        // SAFETY: this driver runs no kernels.
        unsafe { device.launch(kernel, launch, &[]) }.expect("launched");
        asked.push(world(|world| world.shared.remove(kernel)));
    }
    assert_eq!(asked, [None, Some(100 << 10), None, None, Some(200 << 10)]);
}

#[test]
fn a_kernel_that_the_device_lacks_is_an_error_when_it_is_launched() {
    let missing: &[&str] = &MODULES[0].kernels[..1];
    world(|world| world.missing = missing);
    let device = device();
    assert!(!device.kernels().contains(&missing[0]));
    let launch = Launch {
        grid: [1; 3],
        block: [32, 1, 1],
        shared: 0,
    };
    // SAFETY: this driver runs no kernels.
    let error = unsafe { device.launch(missing[0], launch, &[]) }.expect_err("no kernel");
    assert!(matches!(error, CudaError::NoKernel { kernel } if kernel == missing[0]));
}

#[test]
fn graphs_are_the_drivers() {
    let device = device();
    let kernel = MODULES[0].kernels[0];
    let launch = Launch {
        grid: [1; 3],
        block: [32, 1, 1],
        shared: 0,
    };
    let memory = device.alloc(64).expect("memory");
    device.upload(&[1; 64], &memory, 0).expect("uploaded");
    set_n_args(0);
    let graph = device.capture(|| {
        let given_back = device.alloc(64)?;
        device.copy((&memory, 0), (&given_back, 0), 64)?;
        // SAFETY: this driver runs no kernels.
        unsafe { device.launch(kernel, launch, &[]) }?;
        drop(device.alloc(64)?);
        device.clear(&memory, 0, 8)
    });
    let mut graph = graph.expect("captured");
    assert_eq!(graph.len(), 3);
    assert_eq!(world(|world| world.n_allocated()), 2, "one of the graph's");
    let mut found = [0; 64];
    device.download(&memory, 0, &mut found).expect("downloaded");
    assert_eq!(found, [1; 64]);
    for n_times in 1..4 {
        device.upload(&[1; 64], &memory, 0).expect("uploaded");
        device.replay(&mut graph).expect("replayed");
        device.download(&memory, 0, &mut found).expect("downloaded");
        assert_eq!(found[..8], [0; 8]);
        assert_eq!(found[8..], [1; 56]);
        assert_eq!(world(|world| world.launches.len()), n_times);
    }
    drop(graph);
    assert_eq!(world(|world| world.n_allocated()), 1);
}

#[test]
fn a_graph_is_one_launch_where_that_is_faster() {
    let device = device();
    let memory = device.alloc(64).expect("memory");
    set_n_args(3);
    let add_twice = || {
        elementwise::add(&device, &memory, &memory, 16)?;
        elementwise::add(&device, &memory, &memory, 16)
    };
    let mut graph = device.capture(add_twice).expect("captured");
    assert!(graph.fuse().expect("memory"));
    for _ in 0..20 {
        device.replay(&mut graph).expect("replayed");
    }
    device.synchronize().expect("no failure");
    let launches = world(|world| std::mem::take(&mut world.launches));
    // In this driver's time every launch takes as long as any other.
    assert_eq!(graph.best_ms(), Some([2.0, 1.0]));
    let kernels: Vec<&str> = launches.iter().map(|launched| &*launched.kernel).collect();
    let in_turn = ["add", "add", program::KERNEL].repeat(8);
    assert_eq!(kernels, [&in_turn[..], &[program::KERNEL; 4]].concat());
    let fused = launches.last().expect("a launch");
    let n_blocks = 3 * device.properties().n_multiprocessors as u32;
    assert_eq!(fused.sizes, [n_blocks, 1, 1, 128, 1, 1, 0]);
    assert_eq!(fused.args[1], 2, "operations");

    // Where the device has no such kernel, graphs stay what they are.
    world(|world| world.missing = &[program::KERNEL]);
    let device = self::device();
    let memory = device.alloc(64).expect("memory");
    let add = || elementwise::add(&device, &memory, &memory, 16);
    let mut graph = device.capture(add).expect("captured");
    assert!(!graph.fuse().expect("nothing to do"));
    device.replay(&mut graph).expect("replayed");
}

#[test]
fn a_capture_that_fails_leaves_the_device_usable() {
    let device = device();
    let memory = device.alloc(64).expect("memory");
    for _ in 0..2 {
        let error = device
            .capture(|| device.synchronize())
            .expect_err("waiting");
        assert!(matches!(error, CudaError::Capturing { .. }), "{error}");
        device.clear(&memory, 0, 64).expect("cleared");
        device.synchronize().expect("no failure");
    }
}

#[test]
fn marks_are_used_again() {
    let device = device();
    let memory = device.alloc(64).expect("memory");
    for _ in 0..3 {
        let start = device.mark().expect("a mark");
        for _ in 0..5 {
            device.clear(&memory, 0, 64).expect("cleared");
        }
        let end = device.mark().expect("a mark");
        // In this driver's time, everything takes a millisecond.
        let time = end.milliseconds_since(&start).expect("a time");
        assert_eq!(time, 5.0);
    }
    // The context, two streams and an event of theirs, the modules, and two events.
    assert_eq!(world(|world| world.n_held), 4 + MODULES.len() + 2);
}

#[test]
fn everything_is_given_back() {
    let device = device();
    let memory = device.alloc(1000).expect("memory");
    device.upload(&[1; 1000], &memory, 0).expect("uploaded");
    device.upload(&[1; 1000], &memory, 0).expect("uploaded");
    device
        .download(&memory, 0, &mut [0; 1000])
        .expect("downloaded");
    let mark = device.mark().expect("a mark");
    let mut graph = device.capture(|| device.clear(&memory, 0, 1000));
    device
        .replay(graph.as_mut().expect("captured"))
        .expect("replayed");
    let delivered = device.deliver(halves(1000, 9)).expect("memory");
    drop((device, memory, mark, graph, delivered));
    assert_eq!(world(|world| (world.n_held, world.n_allocated())), (0, 0));
}

#[test]
fn what_the_device_is() {
    let device = device();
    assert_eq!(
        *device.properties(),
        Properties {
            name: "Simulated".to_owned(),
            compute_capability: (9, 0),
            n_multiprocessors: 132,
            memory: 1 << 30,
            shared_memory: 227 << 10,
            driver_version: 13000,
            clock_mhz: Some(1980),
            memory_clock_mhz: None,
        }
    );
    let mut wanted: Vec<&str> = MODULES
        .iter()
        .flat_map(|module| module.kernels)
        .copied()
        .collect();
    let mut found = device.kernels();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn no_memory_is_an_error_with_figures() {
    let device = device();
    let some = device.alloc(600 << 20).expect("memory");
    assert_eq!(device.free_memory().expect("a number"), 424 << 20);
    let error = device.alloc(500 << 20).expect_err("no memory");
    assert!(
        matches!(
            error,
            CudaError::OutOfMemory {
                wanted: 525,
                free: 444,
                total: 1073
            }
        ),
        "{error}"
    );
    let free = Driver::free_memory_by(&API, 0);
    assert_eq!(free.expect("a number"), 424 << 20);
    drop(some);
    device.alloc(500 << 20).expect("memory again");
    drop(device);
    Driver::free_memory_by(&API, 1).expect_err("no such device");
    assert_eq!(world(|world| world.n_held), 0);
}

#[test]
fn what_does_not_fit_is_refused() {
    let error = error_where(|world| world.n_devices = 0);
    assert!(
        matches!(error, CudaError::NoDevice { index: 0, count: 0 }),
        "{error}"
    );
    let error = error_where(|world| {
        world.n_devices = 1;
        world.capability = (7, 0);
    });
    assert!(
        matches!(
            error,
            CudaError::TooOld {
                major: 7,
                minor: 0,
                ..
            }
        ),
        "{error}"
    );
    let error = error_where(|world| {
        world.capability = (9, 0);
        world.version = 12040;
        world.loading = Status(222);
    });
    assert!(matches!(error, CudaError::DriverTooOld { .. }), "{error}");
    assert!(error.to_string().contains("12.4"), "{error}");
    let error = error_where(|world| world.version = 99000);
    assert!(matches!(error, CudaError::OtherDevices { .. }), "{error}");
    let error = error_where(|world| world.loading = Status(2));
    assert!(matches!(error, CudaError::Driver { .. }), "{error}");
    assert_eq!(world(|world| world.n_held), 0);
}

#[test]
fn a_lost_device_is_said_to_be_lost() {
    let device = device();
    let memory = device.alloc(64).expect("memory");
    world(|world| world.waiting = Status(700));
    let error = device.download(&memory, 0, &mut [0; 64]).expect_err("lost");
    assert!(matches!(error, CudaError::Lost { .. }), "{error}");
    let error = device.synchronize().expect_err("lost").to_string();
    assert!(error.contains("WORDS") && error.contains("lost"), "{error}");
    // Giving things back does not panic.
    drop((memory, device));
}

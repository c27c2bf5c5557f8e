//! What a device promises, whatever stands behind it: on the processor, and on every device that this
//! machine has.

use ponder_kernels_cuda::{CudaError, Device, Memory, elementwise};

/// Every device that there is.
fn devices() -> Vec<Device> {
    let mut devices = Vec::new();
    #[cfg(feature = "emulated")]
    devices.push(Device::for_tests());
    let n_devices = Device::count().unwrap_or(0);
    devices.extend((0..n_devices).map(|index| Device::open(index).expect("a device")));
    println!("{} devices, {n_devices} of NVIDIA's", devices.len());
    devices
}

fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i * 7 + seed * 13 + i / 251) as u8)
        .collect()
}

/// Memory that holds `bytes`.
fn filled(device: &Device, bytes: &[u8]) -> Memory {
    let memory = device.alloc(bytes.len()).expect("memory");
    device.upload(bytes, &memory, 0).expect("uploaded");
    memory
}

fn contents(device: &Device, memory: &Memory) -> Vec<u8> {
    let mut bytes = vec![0xaa; memory.len()];
    device.download(memory, 0, &mut bytes).expect("downloaded");
    bytes
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    match Device::count() {
        Err(CudaError::NotBuilt) if cfg!(not(feature = "cuda")) => {
            assert!(matches!(Device::open(0), Err(CudaError::NotBuilt)));
        }
        Err(CudaError::NoDriver) => {
            let error = Device::open(0).expect_err("no driver").to_string();
            assert!(error.starts_with("no NVIDIA driver"), "{error}");
        }
        Ok(n_devices) => {
            let error = Device::open(n_devices).expect_err("one too many");
            assert!(
                matches!(error, CudaError::NoDevice { index, count } if (index, count) == (n_devices, n_devices)),
                "{error}"
            );
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_uploaded_can_be_downloaded() {
    for device in devices() {
        // Small ones, one after the other, and such as are larger than what they pass through.
        let lens = [0, 1, 31, 4096, 65536, 65537, (16 << 20) + 1, (48 << 20) + 3];
        let all: Vec<(Vec<u8>, Memory)> = lens
            .iter()
            .enumerate()
            .map(|(seed, &len)| {
                let bytes = bytes(len, seed);
                let memory = filled(&device, &bytes);
                (bytes, memory)
            })
            .collect();
        for (bytes, memory) in &all {
            assert!(*bytes == contents(&device, memory), "{} bytes", bytes.len());
        }
        // More of them than the device can be behind.
        let memory = device.alloc(4096 * 1000).expect("memory");
        for i in 0..1000 {
            device
                .upload(&bytes(4096, i), &memory, 4096 * i)
                .expect("uploaded");
        }
        let wanted: Vec<u8> = (0..1000).flat_map(|i| bytes(4096, i)).collect();
        assert!(wanted == contents(&device, &memory));
    }
}

#[test]
fn parts_are_copied_and_cleared() {
    for device in devices() {
        let from = filled(&device, &bytes(1000, 1));
        let to = filled(&device, &bytes(1000, 2));
        device.copy((&from, 100), (&to, 501), 37).expect("copied");
        device.clear(&to, 700, 3).expect("cleared");
        device
            .copy((&from, 1000), (&to, 0), 0)
            .expect("nothing to do");
        device.clear(&to, 1000, 0).expect("nothing to do");
        let mut wanted = bytes(1000, 2);
        wanted[501..538].copy_from_slice(&bytes(1000, 1)[100..137]);
        wanted[700..703].fill(0);
        assert_eq!(contents(&device, &to), wanted);
    }
}

#[cfg(feature = "emulated")]
#[test]
#[should_panic(expected = "11 bytes at 990 of 1000")]
fn what_does_not_fit_is_not_cleared() {
    let device = Device::emulated();
    let memory = filled(&device, &[0; 1000]);
    let _ = device.clear(&memory, 990, 11);
}

#[test]
fn a_graph_happens_when_it_is_replayed() {
    for device in devices() {
        let from = filled(&device, &bytes(64, 1));
        let to = filled(&device, &bytes(64, 2));
        let mut graph = {
            let between = device.alloc(64).expect("memory");
            let steps = || {
                device.copy((&from, 0), (&between, 0), 64)?;
                device.clear(&between, 8, 8)?;
                device.copy((&between, 0), (&to, 0), 64)
            };
            device.capture(steps).expect("captured")
            // The memory between is the graph's now.
        };
        assert_eq!(graph.len(), 3);
        assert_eq!(
            contents(&device, &to),
            bytes(64, 2),
            "nothing has happened yet"
        );
        for seed in 3..6 {
            device.upload(&bytes(64, seed), &from, 0).expect("uploaded");
            device.replay(&mut graph).expect("replayed");
            let mut wanted = bytes(64, seed);
            wanted[8..16].fill(0);
            assert_eq!(contents(&device, &to), wanted);
        }
    }
}

#[test]
fn kernels_run_in_the_order_in_which_they_were_launched() {
    let numbers = |values: &[f32]| -> Vec<u8> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        bytes.collect()
    };
    for device in devices() {
        let first: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let sum = filled(&device, &numbers(&first));
        let x = filled(&device, &numbers(&first));
        let steps = || {
            elementwise::add(&device, &sum, &x, 1000)?;
            device.copy((&sum, 0), (&x, 0), 4000)
        };
        let mut graph = device.capture(steps).expect("captured");
        // Once as it stands, then twice from the graph: each doubles both.
        steps().expect("launched");
        assert_eq!(
            contents(&device, &x),
            numbers(&first.iter().map(|n| 2.0 * n).collect::<Vec<_>>())
        );
        device.replay(&mut graph).expect("replayed");
        device.replay(&mut graph).expect("replayed");
        assert_eq!(
            contents(&device, &x),
            numbers(&first.iter().map(|n| 8.0 * n).collect::<Vec<_>>())
        );
    }
}

#[test]
fn what_cannot_be_captured_is_an_error_and_leaves_the_device_usable() {
    for device in devices() {
        let memory = filled(&device, &bytes(64, 1));
        let is_refused = |result: Result<(), CudaError>| {
            assert!(
                matches!(result, Err(CudaError::Capturing { .. })),
                "{result:?}"
            );
        };
        let graph = device.capture(|| {
            is_refused(device.upload(&[1], &memory, 0));
            is_refused(device.download(&memory, 0, &mut [0]));
            is_refused(device.synchronize());
            is_refused(device.mark().map(drop));
            is_refused(device.capture(|| Ok(())).map(drop));
            std::thread::scope(|scope| {
                let other = scope.spawn(|| device.clear(&memory, 0, 64));
                is_refused(other.join().expect("no panic"));
            });
            // It is given back when the graph is complete.
            drop(device.alloc(1000)?);
            device.clear(&memory, 0, 1)
        });
        device
            .replay(&mut graph.expect("captured"))
            .expect("replayed");

        let failed = device.capture(|| {
            device.clear(&memory, 0, 64)?;
            device.synchronize()
        });
        is_refused(failed.map(drop));
        let mut wanted = bytes(64, 1);
        wanted[0] = 0;
        assert_eq!(contents(&device, &memory), wanted);
    }
}

#[test]
fn marks_tell_how_long_something_took() {
    for device in devices() {
        let memory = filled(&device, &vec![0; 32 << 20]);
        let start = device.mark().expect("a mark");
        let [some, more] = [1, 50].map(|n_times| {
            for _ in 0..n_times {
                device.clear(&memory, 0, memory.len()).expect("cleared");
            }
            device.mark().expect("a mark")
        });
        let first = some.milliseconds_since(&start).expect("a time");
        let second = more.milliseconds_since(&some).expect("a time");
        assert!(first > 0.0 && second > 0.0, "{first} ms, {second} ms");
        let sum = more.milliseconds_since(&start).expect("a time");
        assert!(
            (sum - first - second).abs() < 0.1,
            "{first} + {second} = {sum} ms"
        );
    }
}

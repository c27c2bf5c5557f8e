use super::*;
use crate::testing::{download, download_words};

/// Small whole numbers, whose products and sums are exact in every precision; as 16-bit floats on the
/// device.
fn small_numbers(device: &Device, n: usize) -> (Vec<f32>, Memory) {
    let numbers: Vec<f32> = random(n)
        .chunks(4)
        .map(|word| f32::from(word[0] % 5) - 2.0)
        .collect();
    let halves = numbers.iter().flat_map(|number| {
        let [_, _, low, high] = number.to_le_bytes();
        [low, high]
    });
    let memory = on_device(device, &halves.collect::<Vec<u8>>()).expect("memory");
    (numbers, memory)
}

#[test]
fn every_word_is_read() {
    let device = Device::for_tests();
    let n_threads = THREADS * READ_BLOCKS * device.properties().n_multiprocessors;
    // With nothing left over, with a rest for some threads, and with less than one for each.
    for n in [16 * 4 * n_threads, 16 * (5 * n_threads + 77), 16 * 3, 0] {
        let bytes = random(n / 4);
        let words = bytes.as_chunks().0.iter();
        let words = words.map(|&word| u32::from_ne_bytes(word));
        let want = words.fold(5_u32, u32::wrapping_add);
        let memory = on_device(&device, &bytes).expect("memory");
        let sum = on_device(&device, &5_u32.to_ne_bytes()).expect("memory");
        launch_read(&device, &memory, &sum).expect("it runs");
        assert_eq!(download_words(&device, &sum, 1), [want], "{n} bytes");
    }
}

#[test]
fn memory_is_noise_up_to_its_end() {
    let device = Device::for_tests();
    let len = 3 * NOISE + 4096;
    let memory = noise(&device, len).expect("memory");
    let words = download_words(&device, &memory, len / 4);
    let (first, rest) = words.split_at(NOISE / 4);
    assert!(rest.chunks(NOISE / 4).all(|part| first.starts_with(part)));
    assert!(first.iter().filter(|word| **word >> 31 == 1).count() > NOISE / 16);
}

#[test]
fn products_are_computed_each_time() {
    let device = Device::for_tests();
    let n = 2 * LANES * (LEFT_WORDS + RIGHT_WORDS * PRODUCTS);
    let (numbers, operands) = small_numbers(&device, n);
    let n_rounds = 3;
    let out = device.alloc(2 * THREADS * 4).expect("memory");
    launch_products(&device, &operands, n_rounds, &out).expect("it runs");
    let got = download(&device, &out, 2 * THREADS);

    // The sum over all rows and columns of a product is that over the sums of columns and rows.
    let at =
        |register: usize, lane: usize, half: usize| numbers[2 * (register * LANES + lane) + half];
    let mut want = 0.0;
    for product in 0..PRODUCTS {
        for k in 0..16 {
            let (quarter, half) = ((k % 8) / 2, k % 2);
            let lanes = (0..8).map(|row| 4 * row + quarter);
            let left: f32 = lanes
                .clone()
                .map(|lane| at(2 * (k / 8), lane, half) + at(2 * (k / 8) + 1, lane, half))
                .sum();
            let register = LEFT_WORDS + RIGHT_WORDS * product + k / 8;
            let right: f32 = lanes.map(|lane| at(register, lane, half)).sum();
            want += left * right * n_rounds as f32;
        }
    }
    for warp in got.chunks(LANES) {
        assert_eq!(warp.iter().sum::<f32>(), want);
    }
    assert_ne!(want, 0.0);
}

#[test]
fn warpgroups_multiply_all_tiles_each_time() {
    let device = Device::for_tests();
    // Others have no warpgroups; the processor has them, whatever it says that it is.
    let (major, _) = device.properties().compute_capability;
    if !device.kernels().contains(&"probe_warpgroups") {
        assert_ne!(major, 9, "a kernel is missing");
        return;
    }
    let (numbers, tiles) = small_numbers(&device, TILES * TILE_BYTES / 2);
    let n_rounds = 2;
    let out = device.alloc(2 * THREADS * 4).expect("memory");
    launch_warpgroups(&device, &tiles, n_rounds, &out).expect("it runs");

    // Of each tile the sums over its rows, whose chunks of eight numbers have changed places.
    let sums: Vec<[f32; 64]> = numbers
        .chunks(64 * 64)
        .map(|tile| {
            std::array::from_fn(|k| {
                let at = |row: usize| 64 * row + ((k / 8) ^ (row % 8)) * 8 + k % 8;
                (0..64).map(|row| tile[at(row)]).sum()
            })
        })
        .collect();
    let (left, right) = sums.split_at(WARPGROUPS);
    for (i, group) in download(&device, &out, 2 * THREADS).chunks(128).enumerate() {
        let left = &left[i % WARPGROUPS];
        let product =
            |right: &[f32; 64]| -> f32 { left.iter().zip(right).map(|(a, b)| a * b).sum() };
        let all: f32 = right.iter().map(product).sum();
        assert_eq!(
            group.iter().sum::<f32>(),
            all * (4 * n_rounds) as f32,
            "{i}"
        );
        assert_ne!(all, 0.0);
    }
}

#[test]
fn the_best_time_is_that_of_one_launch() {
    let device = Device::for_tests();
    let pause = Duration::from_millis(3);
    let seconds = fastest(&device, || {
        std::thread::sleep(pause);
        Ok(())
    });
    let seconds = seconds.expect("it runs");
    assert!((0.003..0.03).contains(&seconds), "{seconds}");
}

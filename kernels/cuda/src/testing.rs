//! What tests of kernels share: numbers by chance, and the way to the device and back.

use crate::{Device, Memory};

/// Numbers by chance, the same for the same seed (Steele et al. 2014, SplitMix).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n - 1`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// One of them.
    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// From -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(crate) fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    /// The numbers below `n`, in any order.
    pub(crate) fn permutation(&mut self, n: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..n as u32).collect();
        for i in (1..n).rev() {
            all.swap(i, self.below(i + 1));
        }
        all
    }
}

pub(crate) fn upload(device: &Device, numbers: &[f32]) -> Memory {
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_ne_bytes()).collect();
    let memory = device.alloc(bytes.len()).expect("there is memory");
    device.upload(&bytes, &memory, 0).expect("it fits");
    memory
}

pub(crate) fn download_bytes(device: &Device, memory: &Memory, n: usize) -> Vec<u8> {
    let mut bytes = vec![0; n];
    device
        .download(memory, 0, &mut bytes)
        .expect("launches ran");
    bytes
}

pub(crate) fn download_words(device: &Device, memory: &Memory, n: usize) -> Vec<u32> {
    let bytes = download_bytes(device, memory, 4 * n);
    let words = bytes.as_chunks().0.iter();
    words.map(|&word| u32::from_ne_bytes(word)).collect()
}

pub(crate) fn download(device: &Device, memory: &Memory, n: usize) -> Vec<f32> {
    let words = download_words(device, memory, n);
    words.into_iter().map(f32::from_bits).collect()
}

/// # Panics
/// If numbers differ by more than `tolerance` of their size, or of 1.
pub(crate) fn assert_close(got: &[f32], want: &[f32], tolerance: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let difference = (got - want).abs();
        assert!(
            difference <= tolerance * want.abs().max(1.0),
            "{what}: {got} at {i}, not {want}"
        );
    }
}

//! Memory for weights and caches: zeroed, aligned, on huge pages where the system gives them.

use std::io;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Zeroed bytes straight from the system, aligned to a page.
///
/// The system is asked for huge pages: a weight matrix is read from end to end for every token,
/// and with pages of 4 kB the walks of the page table are a visible part of that time. Pages that
/// are never touched take no memory.
#[derive(Debug)]
pub struct HugeBytes(MmapMut);

impl HugeBytes {
    /// `len` bytes, all zero.
    ///
    /// # Errors
    /// When the system has not that much address space.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let map = MmapMut::map_anon(len)?;
        advise_huge_pages(&map);
        Ok(Self(map))
    }
}

impl Deref for HugeBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for HugeBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// `f32` scratch memory that begins on a cache line and only ever grows.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlignedFloats(Vec<CacheLine>);

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct CacheLine(#[allow(dead_code)] [f32; FLOATS_PER_LINE]); // Read through a pointer.

const FLOATS_PER_LINE: usize = 16;

impl AlignedFloats {
    /// Makes it at least `len` values long, new ones 0.
    pub(crate) fn grow(&mut self, len: usize) {
        let n_lines = len.div_ceil(FLOATS_PER_LINE);
        if n_lines > self.0.len() {
            self.0.resize(n_lines, CacheLine([0.0; FLOATS_PER_LINE]));
        }
    }
}

impl Deref for AlignedFloats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let len = self.0.len() * FLOATS_PER_LINE;
        // SAFETY: the lines are arrays of `f32` without anything between them.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), len) }
    }
}

impl DerefMut for AlignedFloats {
    fn deref_mut(&mut self) -> &mut [f32] {
        let len = self.0.len() * FLOATS_PER_LINE;
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}

/// A wish: where it is not granted, pages are small and everything else is the same.
#[cfg(target_os = "linux")]
fn advise_huge_pages(map: &MmapMut) {
    let _ = map.advise(memmap2::Advice::HugePage);
}

#[cfg(not(target_os = "linux"))]
fn advise_huge_pages(_: &MmapMut) {}

#[cfg(test)]
mod tests {
    use super::HugeBytes;

    #[test]
    fn bytes_are_zero_aligned_and_writable() {
        for len in [0, 1, 4095, 4096, 5 << 20] {
            let mut bytes = HugeBytes::zeroed(len).expect("memory");
            assert_eq!(bytes.len(), len);
            assert!(bytes.as_ptr().addr().is_multiple_of(64));
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(7);
            assert_eq!(bytes.last().copied(), (len > 0).then_some(7));
        }
    }

    #[test]
    fn too_much_is_refused() {
        HugeBytes::zeroed(usize::MAX / 4).expect_err("more than there is");
    }
}

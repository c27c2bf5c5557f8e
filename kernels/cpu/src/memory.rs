//! Memory for weights and caches: zeroed, aligned, on huge pages where the system gives them.
//!
//! 1. [`HugeBytes::zeroed`] is one large piece.
//! 2. An [`Arena`] hands out many pieces that lie side by side.
//! 3. A [`Source`] is what is packed into them.

use std::fmt::Debug;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use memmap2::{MmapMut, MmapRaw};

/// A huge page of x86-64, and of AArch64 with pages of 4 kB.
const HUGE_PAGE: usize = 2 << 20;

/// Address space that an arena asks for at a time.
const ARENA_PIECE: usize = 128 << 20;

/// Every piece of an arena begins on a cache line.
const ALIGNMENT: usize = 64;

/// Zeroed bytes straight from the system, aligned to a cache line at least.
///
/// The system is asked for huge pages: a weight matrix is read from end to end for every token,
/// and with pages of 4 kB the walks of the page table are a visible part of that time. Pages that
/// are never touched take no memory.
#[derive(Debug)]
pub struct HugeBytes {
    /// Kept for as long as one of its parts is in use.
    mapping: Arc<MmapRaw>,
    start: usize,
    len: usize,
}

impl HugeBytes {
    /// `len` bytes, all zero.
    ///
    /// # Errors
    /// When the system has not that much address space.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        Ok(Self::whole(map(len)?))
    }

    /// As [`zeroed`](Self::zeroed), for what is filled from its beginning and perhaps never full:
    /// the first part lies on small pages, so that a short text takes little memory.
    ///
    /// # Errors
    /// When the system has not that much address space.
    pub fn growing(len: usize) -> io::Result<Self> {
        let map = map(len)?;
        want_small_pages(&map, 0..len.min(HUGE_PAGE));
        Ok(Self::whole(map))
    }

    fn whole(map: MmapMut) -> Self {
        let len = map.len();
        Self {
            mapping: Arc::new(MmapRaw::from(map)),
            start: 0,
            len,
        }
    }
}

impl Deref for HugeBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the part lies inside the mapping, which this value keeps, and the system has made
        // it zeros. No two values have parts that overlap: `zeroed` gives its mapping away as a
        // whole, and an arena each byte once.
        unsafe { std::slice::from_raw_parts(self.mapping.as_ptr().add(self.start), self.len) }
    }
}

impl DerefMut for HugeBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        let start = self.mapping.as_mut_ptr();
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(start.add(self.start), self.len) }
    }
}

/// Memory for the many matrices of a model.
///
/// Most matrices are smaller than a huge page or end in the middle of one, so that with a mapping
/// of its own each would have its pages one by one, and the kernel would be entered for every 4 kB
/// of a model. Side by side they fill huge pages. What is taken from an arena is given back to the
/// system when everything that lies in the same piece has been dropped.
#[derive(Debug, Default)]
pub struct Arena {
    piece: Option<Arc<MmapRaw>>,
    /// Where the next part of the piece begins.
    next: usize,
}

impl Arena {
    /// `len` bytes, all zero, that nobody else has.
    ///
    /// # Errors
    /// When the system has not that much address space.
    pub fn take(&mut self, len: usize) -> io::Result<HugeBytes> {
        let fits = |piece: &&Arc<MmapRaw>| {
            let end = self.next.checked_add(len);
            end.is_some_and(|end| end <= piece.len())
        };
        let mapping = match self.piece.as_ref().filter(fits) {
            Some(piece) => Arc::clone(piece),
            None => {
                // Room to begin on a huge page, which older systems do not do by themselves.
                let size = len.max(ARENA_PIECE).checked_add(HUGE_PAGE);
                let size = size.ok_or(io::ErrorKind::OutOfMemory)?;
                let piece = map(size)?;
                self.next = piece.as_ptr().align_offset(HUGE_PAGE).min(HUGE_PAGE);
                self.piece.insert(Arc::new(MmapRaw::from(piece))).clone()
            }
        };
        let start = self.next;
        self.next = (start + len).next_multiple_of(ALIGNMENT);
        Ok(HugeBytes {
            mapping,
            start,
            len,
        })
    }
}

/// Address space, all zero, with the wish for huge pages: where it is not granted, pages are small
/// and everything else is the same.
fn map(len: usize) -> io::Result<MmapMut> {
    let map = MmapMut::map_anon(len)?;
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Ok(map)
}

/// Takes that wish back for what has not been touched yet.
fn want_small_pages(map: &MmapMut, part: Range<usize>) {
    #[cfg(target_os = "linux")]
    let _ = map.advise_range(memmap2::Advice::NoHugePage, part.start, part.len());
    #[cfg(not(target_os = "linux"))]
    let _ = (map, part);
}

/// The bytes of a file, and what keeps them there: the same at every look.
pub trait Source: Debug + Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];

    /// A part of them will hardly be read again.
    fn release(&self, part: Range<usize>) {
        let _ = part;
    }
}

impl Source for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

/// Bytes of a source that are packed before they are released: enough that all threads have work,
/// little beside a model.
const SLICE: usize = 8 << 20;

/// Calls `pack` with the panels of a matrix, a slice of them after the other, and releases what
/// they were made from. A panel is made from `panel_bytes`.
pub(crate) fn in_slices(
    source: &dyn Source,
    n_panels: usize,
    panel_bytes: usize,
    mut pack: impl FnMut(Range<usize>),
) {
    let len = source.bytes().len();
    let step = (SLICE / panel_bytes.max(1)).max(1);
    for first in (0..n_panels).step_by(step) {
        let panels = first..n_panels.min(first + step);
        let part = len.min(first * panel_bytes)..len.min(panels.end * panel_bytes);
        pack(panels);
        source.release(part);
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

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Mutex;

    use super::{ARENA_PIECE, Arena, HugeBytes, SLICE, Source, in_slices};

    #[test]
    fn bytes_are_zero_aligned_and_writable() {
        for len in [0, 1, 4095, 4096, 5 << 20] {
            for make in [HugeBytes::zeroed, HugeBytes::growing] {
                let mut bytes = make(len).expect("memory");
                assert_eq!(bytes.len(), len);
                assert!(bytes.as_ptr().addr().is_multiple_of(64));
                assert!(bytes.iter().all(|&byte| byte == 0));
                bytes.fill(7);
                assert_eq!(bytes.last().copied(), (len > 0).then_some(7));
            }
        }
    }

    #[test]
    fn too_much_is_refused() {
        HugeBytes::zeroed(usize::MAX / 4).expect_err("more than there is");
        let mut arena = Arena::default();
        for len in [usize::MAX, usize::MAX / 4] {
            arena.take(len).expect_err("more than there is");
        }
        assert_eq!(arena.take(5).expect("memory").len(), 5);
    }

    /// Remembers what was released.
    #[derive(Debug)]
    struct Remembering(Vec<u8>, Mutex<Vec<Range<usize>>>);

    impl Source for Remembering {
        fn bytes(&self) -> &[u8] {
            &self.0
        }

        fn release(&self, part: Range<usize>) {
            self.1.lock().expect("a lock").push(part);
        }
    }

    #[test]
    fn slices_cover_every_panel_and_every_byte_once() {
        for (n_panels, panel_bytes, rows_missing) in [
            (0, 100, 0),
            (1, 1, 0),
            (3, SLICE + 1, 5),
            (7, SLICE / 3, 1),
            (20, SLICE / 8, 100),
        ] {
            let len = n_panels * panel_bytes - rows_missing;
            let source = Remembering(vec![0; len], Mutex::default());
            let mut panels = 0;
            in_slices(&source, n_panels, panel_bytes, |slice| {
                assert_eq!(slice.start, panels);
                assert!(slice.len() == 1 || slice.len() * panel_bytes <= SLICE);
                panels = slice.end;
            });
            assert_eq!(panels, n_panels);
            let released = source.1.into_inner().expect("a lock");
            let end = released.iter().fold(0, |end, part| {
                assert_eq!(part.start, end);
                part.end
            });
            assert_eq!(end, len);
        }
    }

    #[test]
    fn parts_of_an_arena_are_zero_aligned_and_apart() {
        let mut arena = Arena::default();
        let lens = [
            0,
            1,
            63,
            64,
            65,
            4097,
            ARENA_PIECE - 5000,
            3,
            ARENA_PIECE + 1,
            7,
        ];
        let mut parts = Vec::new();
        for (i, &len) in lens.iter().enumerate() {
            let mut part = arena.take(len).expect("memory");
            assert_eq!(part.len(), len);
            assert!(part.as_ptr().addr().is_multiple_of(64));
            // Large ones are only touched at their ends.
            for at in [0, len.saturating_sub(1)] {
                if let Some(byte) = part.get_mut(at) {
                    assert!(*byte == 0 || (len == 1 && at == 0), "{len}");
                    *byte = i as u8 + 1;
                }
            }
            parts.push(part);
        }
        let mut places: Vec<_> = parts.iter().map(|part| part.as_ptr_range()).collect();
        places.sort_by_key(|place| place.start.addr());
        for pair in places.windows(2) {
            assert!(pair[0].end.addr() <= pair[1].start.addr());
        }
        drop(arena);
        for (i, part) in parts.iter().enumerate() {
            assert!(
                [part.first(), part.last()]
                    .into_iter()
                    .flatten()
                    .all(|&byte| byte == i as u8 + 1)
            );
        }
    }
}

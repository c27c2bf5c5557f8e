//! A slice that several threads write to, each in its own part.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice whose parts are handed out by the promise that no two overlap.
#[derive(Clone, Copy)]
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: the slice is only reached through `part`, whose callers promise disjoint ranges; `T`
// itself goes from thread to thread.
unsafe impl<T: Send> Send for SharedSlice<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// A part of the slice.
    ///
    /// # Safety
    /// While the part is in use, nobody else uses a part that overlaps it.
    ///
    /// # Panics
    /// If the range is not inside the slice.
    #[allow(clippy::mut_from_ref)] // The safety condition is what makes it sound.
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {}",
            self.len
        );
        // SAFETY: inside the slice, checked above; nobody else uses it, by this function's own
        // condition.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Replaces an element.
    ///
    /// # Safety
    /// There is such an element, and nobody else uses it at the same time.
    #[inline(always)]
    pub(crate) unsafe fn set(&self, index: usize, value: T) {
        debug_assert!(index < self.len, "{index} of {}", self.len);
        // SAFETY: this function's own condition.
        unsafe { *self.start.add(index) = value };
    }
}

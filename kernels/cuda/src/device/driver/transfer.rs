//! Copies between the machine and the device, by way of pinned memory, which the device reads and
//! writes by itself while the processor does something else.

use std::ffi::c_void;
use std::num::NonZero;
use std::sync::Arc;

use super::context::{Context, Event, Pinned, Use};
use crate::CudaError;

/// Up to this many bytes are small.
const SMALL: usize = 64 << 10;

/// Bytes that a thread copies at least, so that starting it pays.
const PER_THREAD: usize = 2 << 20;

/// Threads that copy at the same time; more do not make memory faster.
const MAX_THREADS: usize = 8;

/// Where uploads and downloads pass through. Pinned memory costs time to get: it comes when it is
/// needed first.
#[derive(Default)]
pub(super) struct Transfer {
    /// For what belongs to a step: it neither waits nor allocates while the device is less than seven
    /// parts behind.
    small: Option<Ring>,
    /// For weights: while the device reads one half, the other is filled.
    large: Option<Ring>,
    down: Option<Ring>,
}

impl Transfer {
    /// Copies `from` to the device; the bytes are taken over when this returns.
    pub(super) fn upload(
        &mut self,
        context: &Arc<Context>,
        from: &[u8],
        to: u64,
    ) -> Result<(), CudaError> {
        let ring = if from.len() <= SMALL {
            Ring::get(&mut self.small, context, 8, 2 * SMALL)?
        } else {
            Ring::get(&mut self.large, context, 2, 16 << 20)?
        };
        let mut to = to;
        for part in from.chunks(ring.part_len) {
            let start = ring.reserve(part.len())?;
            // SAFETY: what was reserved, the device has done with.
            let pinned = unsafe { ring.memory.bytes(start, part.len()) };
            copy(part, pinned);
            // SAFETY: the ring keeps the bytes as they are until the event after this copy has come;
            // where they go was checked by the caller.
            unsafe { context.upload(pinned, to, context.stream) }?;
            to += part.len() as u64;
        }
        Ok(())
    }

    /// Copies from the device after everything before; all of it is there when this returns.
    pub(super) fn download(
        &mut self,
        context: &Arc<Context>,
        from: u64,
        to: &mut [u8],
    ) -> Result<(), CudaError> {
        let ring = Ring::get(&mut self.down, context, 2, 1 << 20)?;
        let mut from = from;
        let mut before: Option<(usize, &mut [u8])> = None;
        for (i, part) in to.chunks_mut(ring.part_len).enumerate() {
            let at = i % 2;
            // SAFETY: what this part of the ring had before was copied on in the last turn but one.
            let pinned = unsafe { ring.memory.bytes(at * ring.part_len, part.len()) };
            let target: *mut c_void = pinned.as_mut_ptr().cast();
            context.enter()?;
            // SAFETY: nobody touches the bytes before the event; where they are was checked by the
            // caller.
            let status =
                unsafe { (context.api.download)(target, from, part.len(), context.stream) };
            context.check(status, "copying from the device")?;
            ring.events[at].record()?;
            from += part.len() as u64;
            // While this part comes, the one before goes on.
            if let Some((at, part)) = before.replace((at, part)) {
                ring.take(at, part)?;
            }
        }
        before.map_or(Ok(()), |(at, part)| ring.take(at, part))
    }
}

/// Pinned memory in parts that are used in turn. A part is used again when the device has done what
/// was asked for while it was filled.
struct Ring {
    memory: Pinned,
    part_len: usize,
    /// One for each part.
    events: Vec<Event>,
    /// The part that is being filled, and how far it is.
    at: usize,
    used: usize,
}

impl Ring {
    /// The ring in `place`, which is made if there is none.
    fn get<'a>(
        place: &'a mut Option<Self>,
        context: &Arc<Context>,
        n_parts: usize,
        part_len: usize,
    ) -> Result<&'a mut Self, CudaError> {
        let ring = match place.take() {
            Some(ring) => ring,
            None => Self {
                memory: Pinned::new(context, n_parts * part_len)?,
                part_len,
                events: (0..n_parts)
                    .map(|_| Event::new(context, Use::Wait))
                    .collect::<Result<_, _>>()?,
                at: 0,
                used: 0,
            },
        };
        Ok(place.insert(ring))
    }

    /// Where `len` bytes begin that the device has done with; a part has so many.
    fn reserve(&mut self, len: usize) -> Result<usize, CudaError> {
        if self.used + len > self.part_len {
            self.events[self.at].record()?;
            self.at = (self.at + 1) % self.events.len();
            self.events[self.at].wait()?;
            self.used = 0;
        }
        let start = self.at * self.part_len + self.used;
        self.used = (self.used + len).next_multiple_of(64);
        Ok(start)
    }

    /// Copies the beginning of part `at` when it has come.
    fn take(&mut self, at: usize, to: &mut [u8]) -> Result<(), CudaError> {
        self.events[at].wait()?;
        // SAFETY: the device wrote it before the event, and nothing was asked for since.
        copy(
            unsafe { self.memory.bytes(at * self.part_len, to.len()) },
            to,
        );
        Ok(())
    }
}

/// Copies, by several threads where there is much: one alone does not keep up with the bus, least of
/// all if the bytes are of a file that is being mapped page by page.
fn copy(from: &[u8], to: &mut [u8]) {
    let wanted = (from.len() / PER_THREAD).min(MAX_THREADS);
    // Asking how many cores there are takes longer than a small copy.
    if wanted < 2 {
        return to.copy_from_slice(from);
    }
    let n_cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let n_threads = wanted.min(n_cores);
    let part = from.len().div_ceil(n_threads);
    std::thread::scope(|scope| {
        let mut parts = from.chunks(part).zip(to.chunks_mut(part));
        let own = parts.next();
        for (from, to) in parts {
            scope.spawn(|| to.copy_from_slice(from));
        }
        if let Some((from, to)) = own {
            to.copy_from_slice(from);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_copied() {
        for len in [
            0,
            1,
            PER_THREAD,
            2 * PER_THREAD,
            5 * PER_THREAD + 3,
            20 * PER_THREAD + 1,
        ] {
            let from: Vec<u8> = (0..len).map(|i| (i * 31 % 251) as u8).collect();
            let mut to = vec![0xff; len];
            copy(&from, &mut to);
            assert!(from == to, "{len} bytes");
        }
    }
}

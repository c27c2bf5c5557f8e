//! [`Device::deliver`]: what is brought to a device while other things happen.
//!
//! What a memory gets is made piece by piece, by threads of the machine; whoever uses the memory
//! waits for it without asking to. So a model can be used as soon as it is known what its weights
//! will be: the first step begins when those of the first layer are there, and runs at most as far
//! ahead as they come.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Arg, Device, Memory};
use crate::CudaError;

/// What a memory gets, piece by piece. Pieces are made in any order, by several threads at a time.
pub(crate) trait Cargo: Debug + Send + Sync {
    /// Bytes of the memory.
    fn len(&self) -> usize;
    /// Pieces.
    fn n_pieces(&self) -> usize;
    /// Bytes that a piece has at most.
    fn piece_len(&self) -> usize;
    /// Writes a piece to the beginning of `room`, and says which parts of the memory it is: they lie
    /// in `room` one behind the other.
    fn write(&self, piece: usize, room: &mut [u8]) -> [Part; MAX_PARTS];
}

/// Parts of the memory that a piece has at most.
pub(crate) const MAX_PARTS: usize = 4;

/// Some bytes of the memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

/// What is brought to an address.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Those that come later have higher ones.
    pub(super) number: u64,
    pub(super) address: u64,
    pub(super) cargo: Box<dyn Cargo>,
}

impl Delivery {
    /// Makes a piece in `room`, and has its parts copied to where they belong.
    pub(super) fn bring(
        &self,
        piece: usize,
        room: &mut [u8],
        mut copy: impl FnMut(&[u8], u64) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let parts = self.cargo.write(piece, room);
        let mut rest = &*room;
        for Part { at, len } in parts.into_iter().filter(|part| part.len > 0) {
            let is_inside = at
                .checked_add(len)
                .is_some_and(|end| end <= self.cargo.len());
            assert!(is_inside, "{len} bytes at {at} of {}", self.cargo.len());
            let (bytes, behind) = rest.split_at(len);
            copy(bytes, self.address + at as u64)?;
            rest = behind;
        }
        Ok(())
    }
}

/// How far deliveries are.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    /// The number of the last one.
    last: AtomicU64,
    /// What is launched comes after all up to this one.
    arrived: AtomicU64,
}

impl Device {
    /// Memory that gets this, sooner or later: whatever uses the memory comes after it. What goes
    /// wrong on the way is an error of its first use.
    ///
    /// # Errors
    /// Where there is not so much memory.
    pub(crate) fn deliver(&self, cargo: impl Cargo + 'static) -> Result<Memory, CudaError> {
        let memory = self.alloc(cargo.len().max(1))?;
        if cargo.n_pieces() > 0 {
            let number = self.deliveries.last.fetch_add(1, Ordering::Relaxed) + 1;
            memory.allocation.delivery.store(number, Ordering::Relaxed);
            self.machine.deliver(Delivery {
                number,
                address: memory.address,
                cargo: Box::new(cargo),
            })?;
        }
        Ok(memory)
    }

    /// What happens from here on comes after what was to be delivered to these.
    pub(super) fn wait_for<'a>(
        &self,
        memories: impl IntoIterator<Item = &'a Memory>,
    ) -> Result<(), CudaError> {
        let arrived = self.deliveries.arrived.load(Ordering::Relaxed);
        if arrived == self.deliveries.last.load(Ordering::Relaxed) {
            return Ok(());
        }
        let numbers = memories.into_iter().map(Memory::delivery);
        match numbers.max() {
            Some(number) if number > arrived => {
                // Who records a step has run one of its kind before.
                self.capture.must_be_off("waiting for weights")?;
                let arrived = self.machine.wait_for_delivery(number)?;
                self.deliveries
                    .arrived
                    .fetch_max(arrived, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Memory {
    /// The number of the delivery to it, or 0.
    fn delivery(&self) -> u64 {
        self.allocation.delivery.load(Ordering::Relaxed)
    }
}

/// The memory that an argument points to.
pub(super) fn memory_of<'a>(arg: &'a Arg<'a>) -> Option<&'a Memory> {
    match arg {
        Arg::Memory(memory, _) => Some(memory),
        Arg::Map(map) => Some(map.memory()),
        Arg::Null | Arg::U32(_) | Arg::F32(_) => None,
    }
}

#[cfg(all(test, any(feature = "cuda", feature = "emulated")))]
pub(super) mod testing {
    use super::*;

    /// Two halves of memory whose parts come in turn, a few bytes each.
    #[derive(Debug)]
    pub(in super::super) struct Halves {
        pub(in super::super) bytes: Vec<u8>,
        pub(in super::super) n_in_part: usize,
    }

    impl Cargo for Halves {
        fn len(&self) -> usize {
            self.bytes.len()
        }

        fn n_pieces(&self) -> usize {
            (self.bytes.len() / 2).div_ceil(self.n_in_part)
        }

        fn piece_len(&self) -> usize {
            2 * self.n_in_part
        }

        fn write(&self, piece: usize, room: &mut [u8]) -> [Part; MAX_PARTS] {
            let half = self.bytes.len() / 2;
            let at = piece * self.n_in_part;
            let len = self.n_in_part.min(half - at);
            let parts = [Part { at, len }, Part { at: half + at, len }];
            for (part, room) in parts.iter().zip(room.chunks_mut(len)) {
                room.copy_from_slice(&self.bytes[part.at..][..len]);
            }
            [parts[0], parts[1], Part::default(), Part::default()]
        }
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::*;

    #[test]
    fn whatever_uses_memory_comes_after_its_delivery() {
        let device = Device::emulated();
        let bytes: Vec<u8> = (0..200).collect();
        let deliver = || {
            let cargo = testing::Halves {
                bytes: bytes.clone(),
                n_in_part: 7,
            };
            device.deliver(cargo).expect("memory")
        };
        let [first, cleared, changed, copied] = std::array::from_fn(|_| deliver());
        device.clear(&cleared, 0, 100).expect("used");
        device.upload(&[9; 100], &changed, 100).expect("used");
        device.copy((&first, 0), (&copied, 100), 100).expect("used");
        let read = |memory| {
            let mut found = vec![0; 200];
            device.download(memory, 0, &mut found).expect("a copy");
            found
        };
        assert_eq!(read(&first), bytes);
        assert_eq!(read(&cleared), [&[0; 100], &bytes[100..]].concat());
        assert_eq!(read(&changed), [&bytes[..100], &[9; 100]].concat());
        assert_eq!(read(&copied), [&bytes[..100], &bytes[..100]].concat());

        let late = deliver();
        let error = device.capture(|| device.clear(&late, 0, 1));
        error.expect_err("who records has run the same before");
        assert_eq!(read(&late), bytes);
        drop((deliver(), deliver()));
        assert_eq!(read(&deliver()), bytes);
    }
}

//! Products of many rows by the vendor's library, where the machine has it and it is faster.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

use super::group::{Gating, Group, number};
use super::{Encoding, Rows, UNIT};
use crate::device::{Library, PlainProduct};
use crate::{CudaError, Device, Memory, elementwise};

/// Rows of activations from which on the library is tried; steps of so many are not recorded.
const LEAST_ROWS: usize = 128;

/// How often the two are timed, after a first time that does not count.
const N_TIMES: usize = 2;

/// Memory that may be taken for what the library leaves to be done, as a part of what is free.
const PART_OF_FREE: usize = 4;

/// Something that can be timed.
pub(super) type Work<'a> = &'a mut dyn FnMut() -> Result<(), CudaError>;

/// Computes a group with our own kernels.
pub(super) type Own<'a> = &'a dyn Fn(&mut Rows, &Group<'_>) -> Result<(), CudaError>;

/// Chooses between the library and our own kernels: for products of a kind by the time that the first
/// of them takes, once.
#[derive(Debug)]
pub(super) struct Contest {
    device: Device,
    /// Opened when it is first needed.
    library: OnceCell<Option<Library>>,
    /// Whether the library won.
    outcomes: RefCell<HashMap<Class, bool>>,
    /// What a gate is multiplied with; and where sums go that are only timed.
    scratch: RefCell<Memory>,
    /// Milliseconds that something takes.
    time: fn(&Device, Work<'_>) -> Result<f64, CudaError>,
}

/// Products that take about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Class {
    /// Rows of activations, rounded up to a power of two.
    n: usize,
    width: usize,
    /// Rows of each matrix.
    n_rows: [usize; 3],
    is_gated: bool,
    adds: bool,
}

impl Class {
    /// That of a group; `None` where the library is not asked.
    fn of(x: &Rows, group: &Group<'_>) -> Option<Self> {
        let adds = group.parts().any(|part| part.adds);
        let is_alone = group.parts().count() == 1;
        let is_known = x.n_rows() >= LEAST_ROWS
            && group.choice.is_none()
            && group.first().encoding() == Encoding::BF16
            && !matches!(group.gating, Gating::Output(_))
            // Where one of several products fails, all are computed again.
            && (is_alone || !adds);
        is_known.then(|| Self {
            n: x.n_rows().next_power_of_two(),
            width: x.width(),
            n_rows: group.rows(),
            is_gated: group.gating != Gating::None,
            adds,
        })
    }
}

impl Contest {
    pub(super) fn new(device: &Device) -> Result<Self, CudaError> {
        Ok(Self {
            device: device.clone(),
            library: OnceCell::new(),
            outcomes: RefCell::default(),
            scratch: RefCell::new(device.alloc(0)?),
            time: by_marks,
        })
    }

    /// One with this library and clock.
    #[cfg(all(test, feature = "emulated"))]
    pub(super) fn between(
        device: &Device,
        library: Library,
        time: fn(&Device, Work<'_>) -> Result<f64, CudaError>,
    ) -> Result<Self, CudaError> {
        Ok(Self {
            library: OnceCell::from(Some(library)),
            time,
            ..Self::new(device)?
        })
    }

    /// Computes a group by the library, where that is faster; whether it did.
    pub(super) fn multiply(&self, x: &mut Rows, group: &Group<'_>, own: Own<'_>) -> bool {
        let Some(class) = Class::of(x, group) else {
            return false;
        };
        if self.device.is_capturing() {
            return false;
        }
        let library = self.library.get_or_init(|| self.device.library());
        let Some(library) = library else {
            return false;
        };
        let known = self.outcomes.borrow().get(&class).copied();
        // What fails once is not tried again: our own kernels say what is wrong, if anything is.
        let wins = known != Some(false)
            && self
                .contend(library, known.is_some(), x, group, own)
                .unwrap_or(false);
        self.outcomes.borrow_mut().insert(class, wins);
        wins
    }

    /// Computes a group by the library, unless that has still to win and does not.
    fn contend(
        &self,
        library: &Library,
        has_won: bool,
        x: &mut Rows,
        group: &Group<'_>,
        own: Own<'_>,
    ) -> Result<bool, CudaError> {
        let adds = group.parts().any(|part| part.adds);
        if group.gating != Gating::None || adds && !has_won {
            self.reserve(x.n_rows() * group.first().n_rows() * 4)?;
        }
        let scratch = self.scratch.borrow();
        let library =
            |x: &mut Rows, group: &Group<'_>| self.by_library(library, x, group, &scratch);
        if !has_won {
            let mut timed = *group;
            if let Some(part) = timed.parts[0].as_mut().filter(|part| part.adds) {
                // Not where things would be added several times.
                part.out = &scratch;
            }
            let own = self.best(&mut || own(x, &timed))?;
            if own <= self.best(&mut || library(x, &timed))? {
                return Ok(false);
            }
        }
        library(x, group)?;
        Ok(true)
    }

    /// Multiplies, and gates what comes out.
    fn by_library(
        &self,
        library: &Library,
        x: &mut Rows,
        group: &Group<'_>,
        scratch: &Memory,
    ) -> Result<(), CudaError> {
        let (n, width) = (x.n_rows(), x.width().next_multiple_of(UNIT));
        let x = x.bf16()?;
        for (i, part) in group.parts().enumerate() {
            let is_up = i == 1 && group.gating != Gating::None;
            library.multiply(&PlainProduct {
                shape: [n, part.matrix.n_rows(), width],
                weights: part.matrix.memory(),
                x,
                bias: part.bias,
                out: if is_up { scratch } else { part.out },
                adds: part.adds,
            })?;
        }
        match (group.gating, group.parts[0]) {
            (Gating::Pair(activation), Some(gate)) => {
                let n = n * gate.matrix.n_rows();
                elementwise::gate(&self.device, gate.out, scratch, number(activation), n)
            }
            _ => Ok(()),
        }
    }

    /// Makes room in the scratch memory, unless little would be left for others.
    fn reserve(&self, len: usize) -> Result<(), CudaError> {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.len() >= len {
            return Ok(());
        }
        let free = self.device.free_memory()?;
        if len > free / PART_OF_FREE {
            return Err(CudaError::OutOfMemory {
                wanted: len.div_ceil(1_000_000),
                free: free / 1_000_000,
                total: self.device.properties().memory / 1_000_000,
            });
        }
        *scratch = self.device.alloc(len)?;
        Ok(())
    }

    /// The best time of several.
    fn best(&self, work: Work<'_>) -> Result<f64, CudaError> {
        work()?;
        let mut best = f64::INFINITY;
        for _ in 0..N_TIMES {
            best = best.min((self.time)(&self.device, work)?);
        }
        Ok(best)
    }
}

/// Milliseconds that work takes on the device.
fn by_marks(device: &Device, work: Work<'_>) -> Result<f64, CudaError> {
    let begin = device.mark()?;
    work()?;
    device.mark()?.milliseconds_since(&begin)
}

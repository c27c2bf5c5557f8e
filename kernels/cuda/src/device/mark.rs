//! Moments on the device.

use std::sync::OnceLock;
use std::time::Instant;

use super::Device;
use crate::CudaError;

/// The moment when everything that had been launched was done.
#[derive(Debug)]
pub struct Mark {
    device: Device,
    number: u64,
}

impl Device {
    /// The moment when everything that was launched up to now is done.
    ///
    /// # Errors
    /// Of the driver, and while a graph is captured.
    pub fn mark(&self) -> Result<Mark, CudaError> {
        self.capture.must_be_off("a mark")?;
        Ok(Mark {
            number: self.machine.mark()?,
            device: self.clone(),
        })
    }
}

impl Mark {
    /// Milliseconds from an earlier mark of the same device to this one; waits until both have come.
    ///
    /// # Errors
    /// Of the driver, and of what was launched before this mark.
    ///
    /// # Panics
    /// Where the marks are of different devices.
    pub fn milliseconds_since(&self, earlier: &Self) -> Result<f64, CudaError> {
        let machine = &self.device.machine;
        assert!(
            std::sync::Arc::ptr_eq(machine, &earlier.device.machine),
            "marks of two devices"
        );
        machine.milliseconds(earlier.number, self.number)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.device.machine.forget(self.number);
    }
}

/// Time of this process, for machines that have no clock of their own.
pub(super) fn nanoseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    elapsed.as_nanos() as u64
}

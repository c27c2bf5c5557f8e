//! Memory of a device beside the processor.

use ponder_engine::{Engine, ModelInfo};

use crate::BenchError;

/// Bytes of a device's memory at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceMemory {
    /// That nobody has.
    free: u64,
    /// That the model has.
    allocated: u64,
}

impl DeviceMemory {
    /// Those of the device that an engine uses, if it uses one that says so.
    pub(crate) fn now(engine: &Engine) -> Option<Self> {
        let device = engine.device()?;
        Some(Self {
            free: device.free_bytes()?,
            allocated: device.allocated_bytes(),
        })
    }

    /// What others have taken since then, in 10⁶ bytes; negative where they gave it back.
    pub(crate) fn taken_by_others_mb(self, now: Self) -> f64 {
        let taken = self.free as f64 - now.free as f64;
        let own = now.allocated as f64 - self.allocated as f64;
        (taken - own) / 1e6
    }

    /// What the model has taken since before it was loaded, in 10⁶ bytes.
    pub(crate) fn used_mb(self, info: &ModelInfo) -> Option<f64> {
        let before = info.accelerator.as_ref()?.free_mb? as f64;
        Some((before - self.free as f64 / 1e6).max(0.0))
    }
}

/// An error where the model has lost the device that it was loaded on: figures would be of two machines.
pub(crate) fn device_must_be_there(engine: &Engine) -> Result<(), BenchError> {
    match &engine.model().device {
        Some(device) if engine.runs_on() != device => Err(BenchError::DeviceLost {
            device: device.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_model_took_itself_was_not_others() {
        let memory = |free: u64, allocated: u64| DeviceMemory {
            free: free * 1_000_000,
            allocated: allocated * 1_000_000,
        };
        let before = memory(1000, 200);
        assert_eq!(before.taken_by_others_mb(memory(900, 300)), 0.0);
        assert_eq!(before.taken_by_others_mb(memory(700, 300)), 200.0);
        assert_eq!(before.taken_by_others_mb(memory(1100, 150)), -50.0);
    }
}

//! What the machine is, and how it was while something was measured on it.
//!
//! Everything is read from where Linux, or a device's driver, shows it; what is not there is absent.

mod device;
mod facts;
mod joules;
mod noise;
pub(crate) mod peak_rss;

pub use facts::{Build, Machine};
pub use noise::Noise;

pub(crate) use device::{DeviceMemory, device_must_be_there};
pub(crate) use joules::Joules;
pub(crate) use noise::load;

use std::path::Path;

/// A small file of the system without its line end.
fn read(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

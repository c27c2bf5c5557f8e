//! The device that tests use.

use super::Device;

impl Device {
    /// Where tests run kernels: the processor in place of a device, or, where the environment says
    /// `PONDER_DEVICE=cuda` or `PONDER_DEVICE=cuda:1`, a device of NVIDIA's.
    ///
    /// # Panics
    /// Where the environment names something else, or what cannot be opened.
    pub fn for_tests() -> Self {
        let Ok(name) = std::env::var("PONDER_DEVICE") else {
            return Self::emulated();
        };
        let index = match name.split_once(':') {
            None if name == "cuda" => Some(0),
            Some(("cuda", index)) => index.parse().ok(),
            _ => None,
        };
        let index = index.unwrap_or_else(|| panic!("PONDER_DEVICE={name}: not cuda, nor cuda:1"));
        Self::open(index).unwrap_or_else(|error| panic!("PONDER_DEVICE={name}: {error}"))
    }
}

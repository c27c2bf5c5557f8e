//! The processor in place of a device.

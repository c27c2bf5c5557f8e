//! The emulation of a device, with kernels of its own (`cu/test`).
#![cfg(feature = "emulated")]

mod arithmetic;
mod barriers;
mod collectives;
mod faults;
mod memory;
mod overlap;
mod races;
mod support;
mod tensor;
mod warpgroup;

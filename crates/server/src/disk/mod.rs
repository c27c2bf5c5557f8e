//! [`Disk`]: the folder in which files and batches are kept.
//!
//! One server at a time works in it: [`Disk::open`] holds a lock. Nothing that a client says becomes a
//! name in it. Files are written beside their place and renamed, so that each is there as a whole or
//! not at all, whenever the machine stops.

pub(crate) mod atomic;
mod error;
mod open;

pub(crate) use error::DiskError;
pub(crate) use open::Disk;

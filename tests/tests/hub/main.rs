//! The store against a small server that plays the hub: what is downloaded, what happens when
//! the network or the server misbehaves, and that nothing leaves the cache.

mod download;
mod failures;
mod hostile;
mod inventory;
mod limits;
mod references;
mod server;
mod support;

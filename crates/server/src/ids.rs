//! Names of answers, calls and whatever else a client refers to later.

use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// A name that nobody can guess: `prefix` and 122 random bits.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::new_v4().simple())
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

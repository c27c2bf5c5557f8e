//! The most memory that this process has had resident.

use super::read;

/// Lets the count begin anew, where the system permits that.
pub(crate) fn reset() {
    // Where it is refused, the peak is that of the whole process, which is what is reported then.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes.
pub(crate) fn get() -> Option<u64> {
    let text = read("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

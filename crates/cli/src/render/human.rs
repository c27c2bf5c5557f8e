//! Numbers for people.

/// A size in bytes with a decimal unit, as disks and downloads are labelled: `98.4 MB`.
pub(crate) fn bytes(size: u64) -> String {
    scaled(size, &["B", "kB", "MB", "GB", "TB"], " ")
}

/// A count with a magnitude, as models are named: `135M`, `1.7B`.
pub(crate) fn count(value: u64) -> String {
    scaled(value, &["", "K", "M", "B", "T"], "")
}

/// Three significant digits or fewer and the unit, each unit a thousand times the last.
fn scaled(value: u64, units: &[&str], space: &str) -> String {
    let mut scaled = value as f64;
    let mut unit = 0;
    // 999.5 would be printed as 1000, so the next unit begins there.
    while scaled >= 999.5 && unit + 1 < units.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || scaled >= 99.95 { 0 } else { 1 };
    format!("{scaled:.digits$}{space}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_the_size() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(98_362_432), "98.4 MB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(253_113_024), "253 MB");
        assert_eq!(count(134_515_008), "135M");
        assert_eq!(count(1_720_000_000), "1.7B");
        assert_eq!(bytes(u64::MAX), "18446744 TB");
    }
}

//! Energy of the processor's packages, where RAPL may be read.

use std::path::PathBuf;

use super::read;

/// Counters of all packages.
#[derive(Debug)]
pub(crate) struct Joules(Vec<(PathBuf, u64)>);

impl Joules {
    /// What the counters say now; `None` where there are none that may be read.
    pub(crate) fn now() -> Option<Self> {
        let zones = std::fs::read_dir("/sys/class/powercap").ok()?;
        let zones = zones.filter_map(|zone| Some(zone.ok()?.path()));
        // Packages are `intel-rapl:0`; their parts have another number behind that.
        let is_package = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix("intel-rapl:")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        };
        let counters: Vec<_> = zones
            .filter(is_package)
            .filter_map(|path| Some((path.clone(), microjoules(&path)?)))
            .collect();
        (!counters.is_empty()).then_some(Self(counters))
    }

    /// The energy since then.
    pub(crate) fn since(self) -> Option<f64> {
        let mut sum = 0;
        for (path, before) in &self.0 {
            let range = read(path.join("max_energy_range_uj"))?.parse().ok()?;
            sum += difference(*before, microjoules(path)?, range);
        }
        Some(sum as f64 / 1e6)
    }
}

fn microjoules(zone: &std::path::Path) -> Option<u64> {
    read(zone.join("energy_uj"))?.parse().ok()
}

/// Counters begin anew behind their range.
fn difference(before: u64, now: u64, range: u64) -> u64 {
    match now >= before {
        true => now - before,
        false => now + range.saturating_sub(before),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn counters_that_wrap_go_on() {
        assert_eq!(super::difference(5, 9, 100), 4);
        assert_eq!(super::difference(95, 3, 100), 8);
    }
}

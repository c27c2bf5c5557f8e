//! Whether others used the machine while something was measured.

use serde::{Deserialize, Serialize};

use super::read;

/// Shares above which a measurement deserves a word.
const STOLEN: f64 = 0.02;
const SLOWER: f64 = 0.9;
/// Memory of a device, in 10⁶ bytes; the driver itself takes some now and then.
const TAKEN_MB: f64 = 100.0;

/// How things were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Share of the processors' time that the host gave to others.
    pub stolen_share: Option<f64>,
    /// Mean frequency of all cores before.
    pub mhz_before: Option<f64>,
    /// And after.
    pub mhz_after: Option<f64>,
    /// Memory of the device that others took meanwhile, in 10⁶ bytes; negative where they gave it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_taken_mb: Option<f64>,
    #[serde(skip)]
    ticks: Option<[u64; 2]>,
}

impl Noise {
    pub(crate) fn begin() -> Self {
        Self {
            mhz_before: mhz(),
            ticks: ticks(),
            ..Self::default()
        }
    }

    pub(crate) fn end(mut self) -> Self {
        self.mhz_after = mhz();
        if let (Some([stolen, all]), Some([stolen_after, all_after])) = (self.ticks, ticks()) {
            let all = all_after.saturating_sub(all).max(1);
            self.stolen_share = Some(stolen_after.saturating_sub(stolen) as f64 / all as f64);
        }
        self
    }

    /// What should be known of it, in a few words each.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let Some(share) = self.stolen_share.filter(|&share| share > STOLEN) {
            remarks.push(format!("the host gave {:.0} % to others", 100.0 * share));
        }
        if let (Some(before), Some(after)) = (self.mhz_before, self.mhz_after)
            && after < SLOWER * before
        {
            remarks.push(format!("the clock fell from {before:.0} to {after:.0} MHz"));
        }
        if let Some(taken) = self.device_taken_mb.filter(|mb| mb.abs() > TAKEN_MB) {
            let (what, mb) = match taken > 0.0 {
                true => ("took", taken),
                false => ("gave back", -taken),
            };
            remarks.push(format!("others {what} {mb:.0} MB of the device's memory"));
        }
        remarks
    }
}

/// Threads that wanted to run, on the mean of the last minute.
pub(crate) fn load() -> Option<f64> {
    read("/proc/loadavg")?.split(' ').next()?.parse().ok()
}

fn mhz() -> Option<f64> {
    let text = read("/proc/cpuinfo")?;
    let cores = text.lines().filter(|line| line.starts_with("cpu MHz"));
    let cores: Vec<f64> = cores
        .filter_map(|line| line.split_once(':')?.1.trim().parse().ok())
        .collect();
    (!cores.is_empty()).then(|| cores.iter().sum::<f64>() / cores.len() as f64)
}

/// Ticks that the host gave to others, and all.
fn ticks() -> Option<[u64; 2]> {
    let text = read("/proc/stat")?;
    let fields = text.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<u64> = fields
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    // The eighth is what was stolen; the two behind it are part of the first two.
    Some([*fields.get(7)?, fields.iter().take(8).sum()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_is_said() {
        let quiet = Noise {
            stolen_share: Some(0.001),
            mhz_before: Some(3000.0),
            mhz_after: Some(2950.0),
            device_taken_mb: Some(-50.0),
            ticks: None,
        };
        assert!(quiet.remarks().is_empty());
        let noisy = Noise {
            stolen_share: Some(0.1),
            mhz_after: Some(2000.0),
            device_taken_mb: Some(-500.0),
            ..quiet
        };
        let remarks = noisy.remarks();
        assert_eq!(remarks.len(), 3);
        assert!(remarks[2].contains("gave back 500 MB"), "{remarks:?}");
    }
}

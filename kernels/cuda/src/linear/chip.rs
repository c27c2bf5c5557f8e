//! [`Chip`]: what a device has that kernels are chosen by.

use crate::Device;

/// What kernels are chosen for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chip {
    pub(super) n_multiprocessors: usize,
    /// Whether tensor cores multiply bfloat16, not half precision alone.
    pub(super) has_bf16: bool,
    /// Whether tensor cores multiply FP8 for single warps, and kernels were compiled for that: compute
    /// capabilities 8.9 and 12.x. Those of 9.0 and 10.0 take such products apart into others.
    pub(super) has_fp8: bool,
    /// Whether they multiply MXFP4 with MXFP8: compute capability 12.x, and kernels that were compiled for
    /// that family.
    pub(super) has_mx: bool,
    /// Whether four warps multiply tiles that were copied by maps: compute capability 9.0, and kernels
    /// that were compiled for it.
    pub(super) has_warpgroups: bool,
    /// Bytes that a block may have.
    pub(super) shared_memory: usize,
}

impl Chip {
    pub(super) fn of(device: &Device) -> Self {
        let properties = device.properties();
        let code = MachineCode::of(device.architectures(), properties.compute_capability);
        Self {
            n_multiprocessors: properties.n_multiprocessors.max(1),
            has_bf16: properties.compute_capability >= (8, 0),
            has_fp8: code.is_some_and(|code| matches!(code.number, 89 | 120..)),
            has_mx: code.is_some_and(|code| code.number >= 120 && code.is_special),
            has_warpgroups: properties.compute_capability == (9, 0) && device.has_tensor_maps(),
            shared_memory: properties.shared_memory,
        }
    }
}

/// What nvcc compiled kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MachineCode {
    /// Ten times the number before the point of the compute capability, and the one behind it.
    number: u32,
    /// Whether it has instructions that others of that number before the point need not have.
    is_special: bool,
}

impl MachineCode {
    /// The one that a device of this compute capability runs, of those that there are: the newest one with
    /// the same number before the point. `a` is for that capability alone, `f` for later ones, too.
    fn of(architectures: &[&str], (major, minor): (u32, u32)) -> Option<Self> {
        let runs = |name: &&str| {
            let digits = name.trim_end_matches(char::is_alphabetic);
            let number: u32 = digits.parse().ok()?;
            let is_there = number / 10 == major
                && number % 10 <= minor
                && (!name.ends_with('a') || number % 10 == minor);
            is_there.then_some(Self {
                number,
                is_special: digits.len() < name.len(),
            })
        };
        architectures.iter().filter_map(runs).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_runs_the_newest_code_that_it_can() {
        let of = |capability| {
            let code = MachineCode::of(&["75", "80", "86", "90a", "120f"], capability);
            code.map(|code| (code.number, code.is_special))
        };
        assert_eq!(of((7, 5)), Some((75, false)));
        assert_eq!(of((8, 0)), Some((80, false)));
        assert_eq!(of((8, 9)), Some((86, false)));
        assert_eq!(of((9, 0)), Some((90, true)));
        assert_eq!(of((10, 0)), None);
        assert_eq!(of((12, 0)), Some((120, true)));
        assert_eq!(of((12, 1)), Some((120, true)));
        let alone = MachineCode::of(&["120", "120a"], (12, 1));
        assert_eq!(alone.map(|code| code.is_special), Some(false));
    }
}

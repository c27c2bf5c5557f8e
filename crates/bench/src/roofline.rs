//! What the machine can do at most, and how near a row comes to it: the processor's limits for rows of
//! models that run there, a device's for rows of models that run on one.

mod cpu;
mod device;

use std::fmt;

use ponder_engine::{ModelInfo, Work};
use serde::Serialize;

use crate::{BenchError, Row};

pub use cpu::CpuLimits;
pub use device::DeviceLimits;

/// The limits of what a model runs on.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Limits {
    /// Of the processor, with as many threads.
    Cpu(CpuLimits),
    /// Of a device beside it.
    Device(DeviceLimits),
}

/// How near a row comes to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Bytes that decoding must read, by what can be read in that time.
    pub memory: Option<f64>,
    /// Operations of prefill, by what can be computed in that time.
    pub compute: Option<f64>,
}

impl Limits {
    /// Probes what a model runs on, the processor with as many threads. A model that is split between
    /// two has no limits of its own: `None`.
    ///
    /// # Errors
    /// When the system gives no threads or no memory, or the device does not.
    pub(crate) fn probe(info: &ModelInfo, threads: usize) -> Result<Option<Self>, BenchError> {
        let Some(accelerator) = &info.accelerator else {
            return Ok(Some(Self::Cpu(CpuLimits::probe(threads)?)));
        };
        let index = accelerator.facts.index;
        let whole = device_name(index);
        if info.device.as_ref() != Some(&whole) {
            return Ok(None);
        }
        let limits = DeviceLimits::probe(index, &whole);
        let limits = limits.map_err(|error| BenchError::DeviceProbe(error.to_string()))?;
        Ok(Some(Self::Device(limits)))
    }

    /// Whether they are those of what has so many threads, or of the device that is named.
    pub(crate) fn is_of(&self, threads: Option<usize>, device: Option<&str>) -> bool {
        match self {
            // Whatever is named so is a device, or has parts on one.
            Self::Cpu(limits) => {
                let is_elsewhere = device.is_some_and(|name| name.starts_with(DEVICES));
                Some(limits.threads) == threads && !is_elsewhere
            }
            Self::Device(limits) => Some(&limits.device[..]) == device,
        }
    }

    /// Whether they are those that a row is held to.
    pub(crate) fn hold_for(&self, row: &Row) -> bool {
        self.is_of(row.threads, row.device.as_deref())
    }

    /// The shares of a row, of a model most of whose weights have the type that is named.
    pub(crate) fn share(
        &self,
        work: &Work,
        weights: &str,
        (depth, n): (usize, usize),
        gen_tokens: usize,
        prefill_ms: Option<f64>,
        tpot_ms: Option<f64>,
    ) -> Share {
        let (read_gb_s, peak) = match self {
            Self::Cpu(limits) => (limits.read_gb_s, limits.peak(weights)),
            // Whatever the weights are, prompts are multiplied in 16-bit floats.
            Self::Device(limits) => (limits.read_gb_s, limits.bf16_gflop_s),
        };
        let ops = work.prefill_ops(depth, n) as f64;
        // The token in the middle of the answer.
        let bytes = work.decode_bytes(depth + n + gen_tokens / 2) as f64;
        Share {
            memory: tpot_ms.map(|ms| bytes / (1e6 * ms) / read_gb_s),
            compute: prefill_ms
                .filter(|&ms| ms > 0.0)
                .map(|ms| ops / (1e6 * ms) / peak),
        }
    }
}

/// What names of devices begin with.
const DEVICES: &str = "cuda:";

fn device_name(index: usize) -> String {
    format!("{DEVICES}{index}")
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(limits) => write!(
                f,
                "limits with {} threads: {:.1} GB/s read, {:.0} GOP/s of bytes, {:.0} GFLOP/s of float32, {:.0} of bfloat16",
                limits.threads,
                limits.read_gb_s,
                limits.int8_gop_s,
                limits.f32_gflop_s,
                limits.bf16_gflop_s
            ),
            Self::Device(limits) => write!(
                f,
                "limits of {}: {:.0} GB/s read, {:.1} TFLOP/s by {}",
                limits.device,
                limits.read_gb_s,
                limits.bf16_gflop_s / 1e3,
                limits.instruction
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use ponder_engine::{Engine, LoadOptions};

    use super::*;

    fn device(index: usize) -> Limits {
        Limits::Device(DeviceLimits {
            device: device_name(index),
            read_gb_s: 4000.0,
            bf16_gflop_s: 600_000.0,
            instruction: "mma.sync of bfloat16",
        })
    }

    #[test]
    fn rows_are_held_to_the_limits_of_what_they_ran_on() {
        let cpu = |threads| {
            Limits::Cpu(CpuLimits {
                threads,
                read_gb_s: 1.0,
                int8_gop_s: 1.0,
                f32_gflop_s: 1.0,
                bf16_gflop_s: 1.0,
            })
        };
        let all = [cpu(1), cpu(2), device(0), device(1)];
        for (threads, name, expected) in [
            (2, "cpu", Some(1)),
            (3, "cpu", None),
            (2, "cuda:1", Some(3)),
            (2, "cuda:1 (5 layers)", None),
        ] {
            let found = all
                .iter()
                .position(|one| one.is_of(Some(threads), Some(name)));
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn shares_of_a_device_are_of_its_own_limits() {
        let engine = Engine::load("default", &LoadOptions::default(), &mut |_| {});
        let work = engine
            .expect("the model in the program")
            .model()
            .work
            .clone();
        let share = device(0).share(&work, "Q4_K", (0, 100), 10, Some(2.0), Some(0.5));
        let bytes = work.decode_bytes(105) as f64;
        let memory = share.memory.expect("a share");
        assert!((memory / (bytes / 0.5e-3 / 4e12) - 1.0).abs() < 1e-9);
        let ops = work.prefill_ops(0, 100) as f64;
        let compute = share.compute.expect("a share");
        assert!((compute / (ops / 2e-3 / 6e14) - 1.0).abs() < 1e-9);
        assert!(
            device(0)
                .to_string()
                .ends_with("4000 GB/s read, 600.0 TFLOP/s by mma.sync of bfloat16")
        );
    }
}

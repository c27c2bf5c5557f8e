//! What does not change while something is measured.

use ponder_engine::DeviceFacts;
use ponder_kernels_cpu::Isa;
use serde::{Deserialize, Serialize};

use super::read;

/// Flags of a processor that decide how fast a model runs.
const FLAGS: [&str; 19] = [
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
];

/// A machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // They are what they are called.
pub struct Machine {
    pub cpu: String,
    pub cpu_flags: Vec<String>,
    pub cores: usize,
    pub memory_mb: Option<u64>,
    /// How the system chooses frequencies.
    pub governor: Option<String>,
    pub is_virtual: bool,
    /// The device beside the processor that models ran on.
    pub gpu: Option<String>,
    /// Version of CUDA that its driver speaks.
    pub gpu_driver: Option<String>,
    pub os: String,
    pub build: Build,
}

/// The program.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // They are what they are called.
pub struct Build {
    pub version: String,
    /// The commit, where the environment named it as `PONDER_COMMIT` when this was compiled.
    pub commit: Option<String>,
    pub profile: String,
    /// The instruction set that its kernels use here.
    pub isa: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let info = read("/proc/cpuinfo").unwrap_or_default();
        let field = |names: &[&str]| {
            let mut lines = info.lines().filter_map(|line| line.split_once(':'));
            lines.find_map(|(name, value)| {
                names
                    .contains(&name.trim())
                    .then(|| value.trim().to_owned())
            })
        };
        let all_flags = field(&["flags", "Features"]).unwrap_or_default();
        let has = |flag: &str| all_flags.split_whitespace().any(|one| one == flag);
        Self {
            cpu: field(&["model name", "Model"])
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cpu_flags: FLAGS
                .into_iter()
                .filter(|flag| has(flag))
                .map(str::to_owned)
                .collect(),
            cores: num_cpus::get(),
            memory_mb: memory_mb(),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            is_virtual: has("hypervisor"),
            gpu: None,
            gpu_driver: None,
            os: os(),
            build: Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: option_env!("PONDER_COMMIT").map(str::to_owned),
                profile: match cfg!(debug_assertions) {
                    true => "debug".to_owned(),
                    false => "release".to_owned(),
                },
                isa: Isa::best().name().to_owned(),
            },
        }
    }
}

impl Machine {
    /// Notes the device that a model runs on, in the words of its driver.
    pub(crate) fn add(&mut self, device: &DeviceFacts) {
        let mhz = device
            .mhz
            .map_or_else(String::new, |mhz| format!(", up to {mhz} MHz"));
        let gpu = format!(
            "{} ({}, {} multiprocessors{mhz}, {} MB)",
            device.name, device.compute_capability, device.multiprocessors, device.memory_mb
        );
        match &mut self.gpu {
            Some(known) if known.contains(&gpu) => {}
            Some(known) => *known = format!("{known}, {gpu}"),
            None => self.gpu = Some(gpu),
        }
        self.gpu_driver = Some(device.driver.clone());
    }
}

fn memory_mb() -> Option<u64> {
    let text = read("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024 / 1_000_000)
}

fn os() -> String {
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {kernel}", std::env::consts::OS)
        .trim()
        .to_owned()
}

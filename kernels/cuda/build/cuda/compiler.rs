//! [`Compiler`]: nvcc.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Outcome;

/// Variables that name the folder of a toolkit.
const FOLDERS: [&str; 3] = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"];

/// Names nvcc itself.
const PROGRAM: &str = "NVCC";

/// Variables that nvcc reads.
const FLAGS: [&str; 3] = ["NVCC_CCBIN", "NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS"];

/// Where toolkits are installed, and where `cargo xtask cuda-toolkit` puts one, relative to the
/// workspace's root.
const PLACES: [&str; 2] = ["/usr/local/cuda", "target/cuda/nvidia/cu13"];

/// Older ones know neither all the architectures nor how to compress what they make.
const OLDEST: (u32, u32) = (12, 8);

const HINT: &str = "hint: `cargo xtask cuda-toolkit` installs one, NVCC or CUDA_HOME name another";

/// A compiler for devices.
pub(super) struct Compiler {
    pub(super) path: PathBuf,
    /// Of CUDA.
    pub(super) version: (u32, u32),
    /// What it says about itself.
    about: String,
}

impl Compiler {
    /// Finds nvcc; `root` is this crate's folder.
    pub(super) fn find(root: &Path) -> Outcome<Self> {
        for name in FOLDERS.iter().chain(&FLAGS).chain([&PROGRAM]) {
            println!("cargo::rerun-if-env-changed={name}");
        }
        let path = Self::path(root)?;
        let shown = path.display();
        let output = Command::new(&path)
            .arg("--version")
            .output()
            .map_err(|error| format!("{shown} does not start: {error}; {HINT}"))?;
        let about = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = parse_version(&about)
            .ok_or_else(|| format!("{shown} does not tell its version; {HINT}"))?;
        if version < OLDEST {
            let ((major, minor), (oldest, and)) = (version, OLDEST);
            return Err(format!(
                "{shown} is of CUDA {major}.{minor}, at least {oldest}.{and} is needed; {HINT}"
            ));
        }
        Ok(Self {
            path,
            version,
            about,
        })
    }

    fn path(root: &Path) -> Outcome<PathBuf> {
        let program = format!("nvcc{}", env::consts::EXE_SUFFIX);
        let on_path = |name: &str| {
            let folders = env::var_os("PATH").unwrap_or_default();
            let found: Vec<PathBuf> = env::split_paths(&folders).map(|at| at.join(name)).collect();
            found.into_iter().find(|path| path.is_file())
        };
        if let Some(named) = env::var_os(PROGRAM) {
            let path = PathBuf::from(&named);
            let found = path.is_file().then_some(path);
            let found = found.or_else(|| on_path(named.to_str()?));
            return found.ok_or_else(|| format!("NVCC={} is no file; {HINT}", named.display()));
        }
        let named = FOLDERS.iter().filter_map(env::var_os);
        let in_folder = |folder: PathBuf| folder.join("bin").join(&program);
        let mut candidates: Vec<PathBuf> = named.map(|folder| in_folder(folder.into())).collect();
        candidates.extend(on_path(&program));
        let workspace = root.join("../..");
        candidates.extend(PLACES.iter().map(|place| in_folder(workspace.join(place))));
        let found = candidates.into_iter().find(|path| path.is_file());
        found.ok_or_else(|| format!("feature `cuda` needs nvcc, of CUDA 12.8 or newer; {HINT}"))
    }

    /// Arguments that say what the output is like.
    pub(super) fn arguments(architectures: &[String]) -> Vec<String> {
        let mut arguments: Vec<String> = [
            "-fatbin",
            "-O3",
            "-std=c++17",
            "--compress-mode=size",
            "-Werror=all-warnings",
        ]
        .map(str::to_owned)
        .into();
        let code = |name: &String| format!("-gencode=arch=compute_{name},code=sm_{name}");
        arguments.extend(architectures.iter().map(code));
        // Those with a letter have instructions that no other one has, so nothing later runs them.
        let general = |name: &&String| name.chars().all(|c| c.is_ascii_digit());
        let mut later: Vec<&String> = architectures.iter().filter(general).collect();
        later = match later[..] {
            [oldest, .., newest] => vec![oldest, newest],
            _ => later,
        };
        let code = |name: &String| format!("-gencode=arch=compute_{name},code=compute_{name}");
        arguments.extend(later.into_iter().map(code));
        arguments
    }

    /// What makes output be like it is, but for the source.
    pub(super) fn identity(&self, architectures: &[String]) -> String {
        let variables = FLAGS.map(|name| env::var(name).unwrap_or_default());
        format!(
            "{}\n{:?}\n{variables:?}\n",
            self.about,
            Self::arguments(architectures)
        )
    }
}

/// The numbers behind `release`.
fn parse_version(about: &str) -> Option<(u32, u32)> {
    let (_, rest) = about.split_once("release ")?;
    let (number, _) = rest.split_once(',')?;
    let (major, minor) = number.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

//! `cargo xtask cuda`: the CUDA kernels, compiled for devices and run by the processor.
//!
//! 1. [`toolkit`] brings NVIDIA's compiler from the Python package index into [`FOLDER`].
//! 2. [`run`] compiles the kernels with it for every architecture, and runs the tests, none of which
//!    needs a device.
//! 3. [`emulated`] runs the tests that need no compiler but the processor's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

/// Where the toolkit is, relative to the workspace's root; the build script looks there, too.
const FOLDER: &str = "target/cuda";

/// The compiler in it.
const COMPILER: &str = "nvidia/cu13/bin/nvcc";

/// What the compiler consists of. Later ones make code that the drivers of their time refuse.
const PACKAGES: &[(&str, &str)] = &[
    ("nvidia-cuda-nvcc", "13.0.88"),
    ("nvidia-cuda-crt", "13.0.88"),
    ("nvidia-nvvm", "13.0.88"),
    ("nvidia-cuda-runtime", "13.0.96"),
    ("nvidia-cuda-cccl", "13.0.85"),
];

const PACKAGE: &str = "ponder-kernels-cuda";

/// Enough where the machine code does not matter.
const ONE_ARCHITECTURE: &str = "80";

/// Tells the build script which architectures to compile for, if not for all.
const ARCHITECTURES: &str = "PONDER_CUDA_ARCHS";

/// Makes sure that the toolkit is there.
pub(crate) fn toolkit(sh: &Shell) -> Result<()> {
    compiler(sh).map(drop)
}

/// Compiles the kernels for every architecture and tests them.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let compiler = compiler(sh)?;
    println!("cuda: lints of what loads and launches the kernels");
    cmd!(
        sh,
        "cargo clippy --locked --package {PACKAGE} --features cuda --all-targets -- -D warnings"
    )
    .env("NVCC", &compiler)
    .env(ARCHITECTURES, ONE_ARCHITECTURE)
    .run()
    .context("lints")?;
    println!("cuda: compiling the kernels for all architectures");
    cmd!(
        sh,
        "cargo test --locked --package {PACKAGE} --features cuda"
    )
    .env("NVCC", &compiler)
    .env_remove(ARCHITECTURES)
    .run()
    .context("the tests of what was compiled")?;
    starts_without_driver(sh, &compiler)?;

    println!("cuda: running the kernels on the processor");
    cmd!(
        sh,
        "cargo test --locked --package {PACKAGE} --features cuda,emulated"
    )
    .env("NVCC", &compiler)
    .env(ARCHITECTURES, ONE_ARCHITECTURE)
    .run()
    .context("the tests of the kernels on the processor")?;
    lint_emulated(sh)?;
    emulated_models(sh)?;
    runs_without_device(sh, &compiler)
}

/// Runs the kernels on the processor, without NVIDIA's compiler.
pub(crate) fn emulated(sh: &Shell) -> Result<()> {
    lint_emulated(sh)?;
    cmd!(
        sh,
        "cargo test --locked --package {PACKAGE} --features emulated"
    )
    .run()
    .context("the tests of the kernels on the processor")?;
    emulated_models(sh)
}

/// The whole program with the kernels, where there may be no device: it says so once, and answers.
fn runs_without_device(sh: &Shell, compiler: &Path) -> Result<()> {
    println!("cuda: the program with the kernels");
    let features = ["--features", "ponder-cli/cuda"];
    let packages = ["ponder-runtime", "ponder-engine", "ponder-cli"];
    let packages = packages.map(|name| format!("--package={name}"));
    cmd!(
        sh,
        "cargo clippy --locked {packages...} {features...} --all-targets -- -D warnings"
    )
    .env("NVCC", compiler)
    .env(ARCHITECTURES, ONE_ARCHITECTURE)
    .run()
    .context("lints")?;
    let question = "What is 17 + 25?";
    let run = cmd!(
        sh,
        "cargo run --quiet --locked --package ponder-cli {features...} -- run {question}"
    )
    .env("NVCC", compiler)
    .env(ARCHITECTURES, ONE_ARCHITECTURE)
    .output()
    .context("the program with the kernels")?;
    let (answer, notes) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    ensure!(answer.contains("42"), "it answers: {answer}");
    let n_notes = notes.matches("no NVIDIA driver").count();
    let has_driver = Path::new("/proc/driver/nvidia").exists();
    ensure!(
        has_driver || n_notes == 1,
        "it says once what it lacks: {notes}"
    );
    Ok(())
}

/// Runs small models on the processor in place of a device.
fn emulated_models(sh: &Shell) -> Result<()> {
    println!("cuda: running models on the processor in place of a device");
    cmd!(
        sh,
        "cargo test --locked --package ponder-runtime --features cuda-emulated --lib backend::cuda"
    )
    .run()
    .context("the tests of the backend")?;
    cmd!(
        sh,
        "cargo test --locked --package ponder-tests --features cuda-emulated --test backend_cuda"
    )
    .run()
    .context("the tests of models on the kernels")
}

fn lint_emulated(sh: &Shell) -> Result<()> {
    cmd!(
        sh,
        "cargo clippy --locked --package {PACKAGE} --features emulated --all-targets -- -D warnings"
    )
    .run()
    .context("lints of the kernels on the processor")
}

/// The compiler, after it was fetched if it was not there.
fn compiler(sh: &Shell) -> Result<PathBuf> {
    let folder = sh.current_dir().join(FOLDER);
    let compiler = folder.join(COMPILER);
    // pip notes what it has installed in folders with such names.
    let is_there = |(name, version): &(&str, &str)| {
        let note = format!("{}-{version}.dist-info", name.replace('-', "_"));
        folder.join(note).exists()
    };
    if !PACKAGES.iter().all(is_there) {
        println!("cuda: fetching NVIDIA's compiler (270 MB) into {FOLDER}");
        sh.create_dir("target")?;
        let tmp = tempfile::tempdir_in(sh.current_dir().join("target"))?;
        let new = tmp.path().join("cuda");
        let packages: Vec<String> = PACKAGES
            .iter()
            .map(|(name, version)| format!("{name}=={version}"))
            .collect();
        cmd!(
            sh,
            "python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --only-binary :all: --target {new} {packages...}"
        )
        .run()
        .context("fetching NVIDIA's compiler; hint: it takes Python with pip and the network")?;
        // Only what is complete gets its name.
        sh.remove_path(&folder)?;
        fs::rename(&new, &folder).context("moving the compiler")?;
    }
    let about = cmd!(sh, "{compiler} --version").quiet().read();
    let about = about.with_context(|| format!("{} does not start", compiler.display()))?;
    let (_, version) = PACKAGES[0];
    ensure!(
        about.contains(&format!("V{version}")),
        "{} is not of version {version}; hint: remove {FOLDER}",
        compiler.display()
    );
    Ok(compiler)
}

/// A program with the kernels must start on machines that have no driver: the loader must not be told
/// to look for one.
fn starts_without_driver(sh: &Shell, compiler: &Path) -> Result<()> {
    if !cfg!(target_os = "linux") {
        println!("cuda: what programs are linked to is only looked at on Linux");
        return Ok(());
    }
    let messages = cmd!(
        sh,
        "cargo test --locked --package {PACKAGE} --features cuda --no-run --message-format json"
    )
    .env("NVCC", compiler)
    .env_remove(ARCHITECTURES)
    .quiet()
    .ignore_stderr()
    .read()?;
    let mut n_programs = 0;
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line).context("cargo's messages")?;
        let Some(program) = message["executable"].as_str() else {
            continue;
        };
        let libraries = cmd!(sh, "ldd {program}").quiet().read()?;
        let found = libraries
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with("libcu"));
        if let Some(library) = found {
            bail!("{program} is linked to {library}");
        }
        n_programs += 1;
    }
    ensure!(n_programs > 0, "no program was built");
    println!("cuda: {n_programs} programs start without a driver");
    Ok(())
}

//! `cargo xtask cuda`: the CUDA kernels, compiled for devices and run by the processor.
//!
//! 1. [`toolkit`] brings NVIDIA's compiler from the Python package index into [`FOLDER`].
//! 2. [`run`] compiles the kernels with it for every architecture, and runs the tests, none of which
//!    needs a device.
//! 3. [`emulated`] runs the tests that need no compiler but the processor's.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
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

/// What has the kernels run by the processor; with what the whole workspace needs besides,
/// dependencies are compiled once for all tests.
const EMULATED: &str =
    "ponder-tests/cuda-emulated,ponder-engine/cuda-emulated,ponder-kernels-cuda/emulated";

/// What has them compiled for devices as well.
pub(crate) const COMPILED: &str = "ponder-tests/cuda-emulated,ponder-engine/cuda-emulated,ponder-kernels-cuda/emulated,ponder-cli/cuda";

/// Makes sure that the toolkit is there.
pub(crate) fn toolkit(sh: &Shell) -> Result<()> {
    compiler(sh).map(drop)
}

/// Compiles the kernels for every architecture, and tests them and what they are part of.
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let _compiler = sh.push_env("NVCC", compiler(sh)?);
    {
        // Clippy has a build of its own, which nobody runs.
        let _one = sh.push_env("PONDER_CUDA_ARCHS", "80");
        lint(sh, COMPILED)?;
    }
    println!("cuda: compiling the kernels for all architectures");
    let programs = build(sh, COMPILED)?;
    programs
        .iter()
        .try_for_each(|program| starts_without_driver(sh, program))?;
    println!("cuda: {} programs start without a driver", programs.len());
    test(sh, &programs)?;
    runs_without_device(sh)
}

/// Runs the kernels on the processor, without NVIDIA's compiler.
pub(crate) fn emulated(sh: &Shell) -> Result<()> {
    lint(sh, EMULATED)?;
    test(sh, &build(sh, EMULATED)?)
}

/// A program of tests.
pub(crate) struct Program {
    /// Its target's.
    pub(crate) name: String,
    /// Where its package is, which is where it runs.
    folder: PathBuf,
    pub(crate) path: String,
    /// Which of its tests are about the kernels; empty: all.
    filter: &'static str,
}

/// What is tested: packages, their targets and, of some, the tests about the kernels.
const TESTS: &[(&str, &[&str], &str)] = &[
    (
        "ponder-kernels-cuda",
        &["ponder_kernels_cuda", "device", "emulation"],
        "",
    ),
    ("ponder-runtime", &["ponder_runtime"], "backend::cuda"),
    ("ponder-engine", &["ponder_engine"], "on_device"),
    ("ponder-tests", &["backend_cuda", "draws_cuda"], ""),
    ("ponder-tests", &["fp8"], "device"),
];

fn lint(sh: &Shell, features: &str) -> Result<()> {
    cmd!(
        sh,
        "cargo clippy --locked --workspace --features {features} --all-targets -- -D warnings"
    )
    .run()
    .context("lints")
}

/// Builds the [`TESTS`], and the program beside them.
pub(crate) fn build(sh: &Shell, features: &str) -> Result<Vec<Program>> {
    let messages = cmd!(
        sh,
        "cargo test --locked --workspace --features {features} --lib --test device --test emulation --test backend_cuda --test draws_cuda --test fp8 --test usage --no-run --message-format json-render-diagnostics"
    )
    .read()
    .context("building the tests")?;
    let mut programs = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("cargo's messages")?;
        let of = |key: &str| message[key].as_str();
        let (Some(path), Some(id), Some(manifest)) =
            (of("executable"), of("package_id"), of("manifest_path"))
        else {
            continue;
        };
        let target = message["target"]["name"].as_str().unwrap_or_default();
        let mut tests = TESTS.iter();
        let known =
            tests.find(|(package, targets, _)| id.contains(package) && targets.contains(&target));
        if let Some((_, _, filter)) = known {
            programs.push(Program {
                name: target.to_owned(),
                folder: Path::new(manifest).parent().context("a folder")?.to_owned(),
                path: path.to_owned(),
                filter,
            });
        }
    }
    let n_expected: usize = TESTS.iter().map(|(_, targets, _)| targets.len()).sum();
    ensure!(
        programs.len() == n_expected,
        "{} of {n_expected} programs were built",
        programs.len()
    );
    Ok(programs)
}

fn test(sh: &Shell, programs: &[Program]) -> Result<()> {
    println!("cuda: running kernels, and models on them, on the processor");
    for Program {
        folder,
        path,
        filter,
        ..
    } in programs
    {
        let _folder = sh.push_dir(folder);
        // As cargo would say it: tests look for their files there.
        cmd!(sh, "{path} {filter}")
            .env("CARGO_MANIFEST_DIR", folder)
            .run()
            .context("the tests of the kernels")?;
    }
    Ok(())
}

/// The whole program with the kernels, where there may be no device: it says so once, and answers.
fn runs_without_device(sh: &Shell) -> Result<()> {
    println!("cuda: the program with the kernels");
    let target = env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let program = target
        .join("debug")
        .join(format!("ponder{}", env::consts::EXE_SUFFIX));
    let question = "What is 17 + 25?";
    let run = cmd!(sh, "{program} run {question}")
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

/// The compiler, after it was fetched if it was not there.
pub(crate) fn compiler(sh: &Shell) -> Result<PathBuf> {
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
fn starts_without_driver(sh: &Shell, program: &Program) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let path = &program.path;
    let libraries = cmd!(sh, "ldd {path}").quiet().read()?;
    let mut libraries = libraries.lines().map(str::trim);
    match libraries.find(|line| line.starts_with("libcu")) {
        None => Ok(()),
        Some(library) => bail!("{path} is linked to {library}"),
    }
}

//! `cargo xtask neon`: the tests of the CPU kernels on AArch64, emulated.
//!
//! Three things are needed: a compiler with the standard library of the target, a linker with its C
//! library, and qemu. Where all are installed, they are used. Else Debian's packages are unpacked
//! below [`FOLDER`]; nothing is installed.

mod debian;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// Everything of this command, relative to the workspace's root.
const FOLDER: &str = "target/arm";

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// A processor to emulate.
struct Processor {
    /// Its name in qemu.
    name: &'static str,
    /// The best instruction set that the kernels have for it.
    isa: &'static str,
    /// Which tests run: parts of their names, none for all, or of those to skip.
    tests: &'static [&'static str],
}

/// With everything that qemu knows, which has all sets; and with nothing but NEON, for what depends
/// on the choice.
const PROCESSORS: &[Processor] = &[
    Processor {
        name: "max",
        isa: "neon_dot",
        // What may share a pass over the cache is no matter of instructions, and takes long here.
        tests: &["--skip", "attention::tests::shared"],
    },
    Processor {
        name: "cortex-a53",
        isa: "neon",
        tests: &["isa::", "int8::"],
    },
];

/// What it takes to build for [`TARGET`] and to run what was built.
struct Toolchain {
    /// Instead of the compiler that cargo takes.
    rustc: Option<PathBuf>,
    /// Where the compiler and the linker find their own libraries.
    libraries: Option<PathBuf>,
    linker: PathBuf,
    /// Where the linker finds the target's files, if not where it was installed.
    sysroot: Option<PathBuf>,
    emulator: PathBuf,
    /// Where the emulated program finds its C library.
    guest: PathBuf,
}

/// Makes sure that there is a toolchain.
pub(crate) fn fetch(sh: &Shell) -> Result<()> {
    toolchain(sh).map(drop)
}

/// Builds the tests and runs them on each of [`PROCESSORS`].
pub(crate) fn run(sh: &Shell) -> Result<()> {
    let toolchain = toolchain(sh)?;
    let (emulator, guest) = (&toolchain.emulator, &toolchain.guest);
    let runner = format!("{} -L {}", emulator.display(), guest.display());
    for &Processor { name, isa, tests } in PROCESSORS {
        println!("neon: {isa} on {name}");
        let mut test = cmd!(
            sh,
            "cargo test --locked --package ponder-kernels-cpu --lib --target {TARGET} --target-dir {FOLDER}/build -- {tests...}"
        )
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", &toolchain.linker)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", &runner)
        .env("QEMU_CPU", name)
        .env("PONDER_ISA", isa);
        if let Some(rustc) = &toolchain.rustc {
            test = test.env("RUSTC", rustc);
        }
        if let Some(libraries) = &toolchain.libraries {
            test = test.env("LD_LIBRARY_PATH", libraries);
        }
        if let Some(sysroot) = &toolchain.sysroot {
            let flags = format!("-Clink-arg=--sysroot={}", sysroot.display());
            test = test.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", flags);
        }
        test.run()
            .with_context(|| format!("the tests of {isa} on {name}"))?;
    }
    Ok(())
}

fn toolchain(sh: &Shell) -> Result<Toolchain> {
    match installed(sh) {
        Ok(toolchain) => Ok(toolchain),
        Err(missing) => debian::toolchain(sh).with_context(|| {
            format!("{missing:#} here, and Debian's packages are no help; hint: install it, or run this on Debian")
        }),
    }
}

/// What is installed; the error says what is missing.
fn installed(sh: &Shell) -> Result<Toolchain> {
    let libraries = cmd!(sh, "rustc --print target-libdir --target {TARGET}")
        .quiet()
        .read()
        .context("no rustc")?;
    anyhow::ensure!(
        Path::new(&libraries).exists(),
        "there is no Rust target {TARGET} (`rustup target add {TARGET}`)"
    );
    let linker = program(sh, &["aarch64-linux-gnu-gcc"])?;
    let emulator = program(sh, &["qemu-aarch64-static", "qemu-aarch64"])?;
    let guest = PathBuf::from("/usr/aarch64-linux-gnu");
    anyhow::ensure!(guest.exists(), "there is no {}", guest.display());
    Ok(Toolchain {
        rustc: None,
        libraries: None,
        linker,
        sysroot: None,
        emulator,
        guest,
    })
}

/// The first of some programs that runs.
fn program(sh: &Shell, names: &[&str]) -> Result<PathBuf> {
    let runs = |name: &&&str| {
        let command = cmd!(sh, "{name} --version").quiet();
        command.ignore_stdout().ignore_stderr().run().is_ok()
    };
    let name = names.iter().find(runs);
    let name = name.with_context(|| format!("there is no {}", names[0]))?;
    Ok(PathBuf::from(name))
}

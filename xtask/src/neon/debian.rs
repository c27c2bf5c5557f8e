//! Debian's compiler, linker and emulator, unpacked beside everything else.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use super::{FOLDER, Toolchain};

/// What is needed. Names with a version in them are found among what these depend on.
const PACKAGES: &[&str] = &[
    "rustc-web",
    "libstd-rust-web-dev",
    "libstd-rust-web-dev:arm64",
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "qemu-user-static",
];

/// Whether one of the packages that [`PACKAGES`] depend on is more than a machine with a Rust
/// toolchain has anyway.
fn is_needed(name: &str) -> bool {
    let is_compiler = name.starts_with("libstd-rust-web-") || name.starts_with("libllvm");
    let is_linker = name.ends_with("-aarch64-linux-gnu") || name.ends_with("-arm64-cross");
    (is_compiler || is_linker) && !name.contains(':')
}

/// Fetches the packages unless they are there already.
pub(super) fn toolchain(sh: &Shell) -> Result<Toolchain> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "they are for Linux on x86-64"
    );
    let folder = sh.current_dir().join(FOLDER);
    let root = folder.join("root");
    if !root.exists() {
        fetch(sh, &folder, &root)?;
    }
    let usr = root.join("usr");
    Ok(Toolchain {
        rustc: Some(usr.join("bin/rustc")),
        libraries: Some(usr.join("lib/x86_64-linux-gnu")),
        linker: usr.join("bin/aarch64-linux-gnu-gcc"),
        emulator: usr.join("bin/qemu-aarch64-static"),
        guest: usr.join("aarch64-linux-gnu"),
        sysroot: Some(root),
    })
}

fn fetch(sh: &Shell, folder: &Path, root: &Path) -> Result<()> {
    println!("neon: fetching Debian's packages (210 MB) into {FOLDER}");
    fs::create_dir_all(folder)?;
    let tmp = tempfile::tempdir_in(folder)?;
    let archives = sh.create_dir(tmp.path().join("archives"))?;
    // The system's sources and keys, but lists of our own: they name a second architecture.
    let lists = sh.create_dir(tmp.path().join("lists"))?;
    let options = [
        "-oAPT::Architectures::=amd64".to_owned(),
        "-oAPT::Architectures::=arm64".to_owned(),
        format!("-oDir::State::Lists={}", lists.display()),
        format!("-oDir::Cache={}", tmp.path().display()),
        // Whoever runs this may read the folder; the user that apt would change to may not.
        "-oAPT::Sandbox::User=".to_owned(),
    ];
    let options = &options[..];
    cmd!(sh, "apt-get --quiet --quiet {options...} update")
        .run()
        .context("apt-get is needed, and its sources")?;
    let packages = packages(sh, options)?;
    {
        let _there = sh.push_dir(&archives);
        cmd!(
            sh,
            "apt-get --quiet --quiet {options...} download {packages...}"
        )
        .run()?;
    }
    let unpacked = tmp.path().join("root");
    for archive in sh.read_dir(&archives)? {
        cmd!(sh, "dpkg-deb --extract {archive} {unpacked}")
            .quiet()
            .run()?;
    }
    // Only what is complete gets its name.
    fs::rename(&unpacked, root).context("moving the unpacked packages")
}

/// [`PACKAGES`] and what they need of what they depend on.
fn packages(sh: &Shell, options: &[String]) -> Result<Vec<String>> {
    let only = [
        "recommends",
        "suggests",
        "conflicts",
        "breaks",
        "replaces",
        "enhances",
    ]
    .map(|kind| format!("--no-{kind}"));
    let list = cmd!(
        sh,
        "apt-cache {options...} depends --recurse {only...} {PACKAGES...}"
    )
    .quiet()
    .ignore_stderr()
    .read()
    .context("asking apt-cache what the packages depend on")?;
    // A package begins a line, what it depends on is indented.
    let mut names: Vec<String> = list
        .lines()
        .filter(|name| is_needed(name))
        .chain(PACKAGES.iter().copied())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

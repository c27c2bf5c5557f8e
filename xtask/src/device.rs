//! `cargo xtask device`: everything that a machine with a GPU of NVIDIA's needs to check and measure
//! ponder, in one folder: it takes no Rust and no network there.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::{assets, cuda};

/// Where it is gathered, relative to the workspace's root.
const FOLDER: &str = "target/device";

/// Builds and gathers.
pub(crate) fn gather(sh: &Shell) -> Result<()> {
    let _compiler = sh.push_env("NVCC", cuda::compiler(sh)?);
    let root = sh.current_dir();
    let folder = root.join(FOLDER);
    sh.remove_path(&folder)?;
    sh.create_dir(&folder)?;
    println!("device: the tests");
    for program in cuda::build(sh, cuda::COMPILED)? {
        take(sh, Path::new(&program.path), &folder.join(program.name))?;
    }
    println!("device: the program");
    cmd!(
        sh,
        "cargo build --release --locked --package ponder-cli --features ponder-cli/cuda"
    )
    .run()?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let program = root.join(target).join("release/ponder");
    take(sh, &program, &folder.join("ponder"))?;
    take(sh, &env::current_exe()?, &folder.join("xtask"))?;

    let goldens = "tests/data/goldens";
    copy(&root.join(goldens), &folder.join(goldens))?;
    for script in ["device.sh", "torch_bench.py"] {
        sh.copy_file(root.join("benches").join(script), folder.join(script))?;
    }
    let tokenizer = root.join(assets::FOLDER).join("tokenizers/qwen3");
    match tokenizer.exists() {
        true => copy(&tokenizer, &folder.join("tokenizer"))?,
        false => println!(
            "device: no models will be measured; hint: `cargo xtask assets tokenizers`, then this again"
        ),
    }
    println!("device: {FOLDER} is complete; on the other machine, run `sh device.sh` in it");
    Ok(())
}

/// Copies a program without what debuggers read of it.
fn take(sh: &Shell, program: &Path, to: &Path) -> Result<()> {
    fs::copy(program, to).with_context(|| format!("copying {}", program.display()))?;
    Ok(cmd!(sh, "strip {to}").quiet().run()?)
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => drop(fs::copy(entry.path(), to)?),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_copied_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a/b")).expect("folders");
        fs::write(from.join("a/b/c"), "text").expect("a file");
        copy(&from, &to).expect("copied");
        assert_eq!(fs::read(to.join("a/b/c")).expect("a file"), b"text");
    }
}

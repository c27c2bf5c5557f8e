//! [`Source`]: a `.cu` file and what is made of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::Outcome;
use super::compiler::Compiler;

/// A `.cu` file; everything of it lies in a folder of its own.
pub(super) struct Source {
    path: PathBuf,
    folder: PathBuf,
}

/// A kernel in the image.
pub(super) struct Kernel {
    pub(super) name: String,
    /// Whether it awaits earlier launches, for one architecture at least.
    pub(super) overlaps: bool,
}

/// What has a kernel wait for earlier launches.
const AWAITS: &str = "griddepcontrol.wait";

impl Source {
    pub(super) fn new(path: PathBuf, out: &Path) -> Outcome<Self> {
        let name = path.file_stem().ok_or("a source without a name")?;
        let folder = out.join("cuda").join(name);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { path, folder })
    }

    /// The fat binary.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("image.fatbin")
    }

    /// Made before everything else.
    fn begun(&self) -> PathBuf {
        self.folder.join("begun")
    }

    /// What it was made from, as make would read it.
    fn inputs(&self) -> PathBuf {
        self.folder.join("inputs.d")
    }

    /// Names of the kernels, one a line, and behind them that they await earlier launches.
    fn names(&self) -> PathBuf {
        self.folder.join("kernels")
    }

    /// How the image was made; written when everything else is there.
    fn stamp(&self) -> PathBuf {
        self.folder.join("made-by")
    }

    /// Whether it was made in the way that `identity` says, from files that have not changed since.
    pub(super) fn is_fresh(&self, identity: &str) -> bool {
        let Ok(begun) = modified(&self.begun()) else {
            return false;
        };
        let is_older = |path: &PathBuf| modified(path).is_ok_and(|modified| modified < begun);
        let is_same = fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp == identity);
        let inputs = fs::read_to_string(self.inputs()).unwrap_or_default();
        let inputs = parse_inputs(&inputs);
        is_same && inputs.contains(&self.path) && inputs.iter().all(is_older)
    }

    pub(super) fn compile(
        &self,
        compiler: &Compiler,
        architectures: &[String],
        n_threads: usize,
    ) -> Outcome<()> {
        // Nothing of an earlier run must be mistaken for this one's.
        let failed = |error: std::io::Error| format!("{}: {error}", self.folder.display());
        fs::remove_dir_all(&self.folder).map_err(failed)?;
        let steps = self.folder.join("steps");
        fs::create_dir_all(&steps).map_err(failed)?;
        fs::write(self.begun(), "").map_err(failed)?;
        let output = Command::new(&compiler.path)
            .args(Compiler::arguments(architectures))
            .arg(format!("--threads={n_threads}"))
            // What lies between the source and the image has the names of the kernels.
            .args(["--keep", "--keep-dir"])
            .arg(&steps)
            .args(["-MMD", "-MF"])
            .arg(self.inputs())
            .arg("-o")
            .arg(self.image())
            .arg(&self.path)
            .output()
            .map_err(|error| format!("{} does not start: {error}", compiler.path.display()))?;
        if !output.status.success() {
            let (out, err) = (&output.stdout, &output.stderr);
            let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
            return Err(format!("nvcc: {}\n{out}{err}", self.path.display()));
        }
        let kernels = kernels(&steps).map_err(failed)?;
        if kernels.is_empty() {
            return Err(format!("{} has no kernels", self.path.display()));
        }
        let line = |(name, overlaps): (&String, &bool)| match overlaps {
            true => format!("{name} {AWAITS}\n"),
            false => format!("{name}\n"),
        };
        let names: String = kernels.iter().map(line).collect();
        fs::write(self.names(), names).map_err(failed)?;
        fs::remove_dir_all(&steps).map_err(failed)?;
        fs::write(self.stamp(), compiler.identity(architectures)).map_err(failed)
    }

    /// The kernels in the image.
    pub(super) fn kernels(&self) -> Outcome<Vec<Kernel>> {
        let names = self.names();
        let names =
            fs::read_to_string(&names).map_err(|error| format!("{}: {error}", names.display()))?;
        let kernel = |line: &str| {
            let (name, awaits) = line.split_once(' ').unwrap_or((line, ""));
            Kernel {
                name: name.to_owned(),
                overlaps: awaits == AWAITS,
            }
        };
        Ok(names.lines().map(kernel).collect())
    }
}

/// The kernels in the PTX of a folder, and whether they await earlier launches.
fn kernels(folder: &Path) -> std::io::Result<BTreeMap<String, bool>> {
    let mut kernels = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ptx") {
            let text = fs::read_to_string(&path)?;
            for (name, overlaps) in parse_kernels(&text) {
                *kernels.entry(name.to_owned()).or_default() |= overlaps;
            }
        }
    }
    Ok(kernels)
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    fs::metadata(path)?.modified()
}

/// The files behind the colon, several to a line, lines ending with a backslash.
fn parse_inputs(rule: &str) -> Vec<PathBuf> {
    let files = rule.split_once(": ").map_or("", |(_, files)| files);
    let files = files.replace("\\\n", " ").replace("\\ ", "\0");
    let files = files.split_whitespace();
    files.map(|file| file.replace('\0', " ").into()).collect()
}

/// The names of the kernels in PTX, and whether they await earlier launches.
fn parse_kernels(ptx: &str) -> impl Iterator<Item = (&str, bool)> {
    let kernels = ptx.split(".entry ").skip(1);
    kernels.filter_map(|text| Some((text.split(['(', ' ']).next()?, text.contains(AWAITS))))
}

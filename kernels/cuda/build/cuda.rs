//! Fat binaries of the kernels, by nvcc: one for each `.cu` file, with machine code for several
//! architectures and code that drivers compile for later ones.
//!
//! 1. [`Compiler`] is nvcc, found where it may be.
//! 2. [`Source`] is a `.cu` file; it is compiled if what it is made from has changed.
//! 3. `modules.rs` in the output folder is the table that the crate includes.

#[path = "cuda/compiler.rs"]
mod compiler;
#[path = "cuda/source.rs"]
mod source;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use compiler::Compiler;
use source::Source;

/// Compute capabilities that kernels are compiled for, oldest first; with a letter where they use what its
/// family has alone.
const ARCHITECTURES: &str = "75,80,86,89,90a,100,120f";

/// Names others than [`ARCHITECTURES`], to compile faster.
const VARIABLE: &str = "PONDER_CUDA_ARCHS";

type Outcome<T> = Result<T, String>;

/// Compiles every `.cu` file.
pub(super) fn build() {
    println!("cargo::rerun-if-changed=cu");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    if let Err(error) = try_build() {
        for line in error.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn try_build() -> Outcome<()> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let architectures = env::var(VARIABLE).unwrap_or_else(|_| ARCHITECTURES.to_owned());
    let architectures = parse_architectures(&architectures)?;
    let compiler = Compiler::find(&root)?;
    let sources = sources(&root.join("cu"), &out)?;
    compile(&sources, &compiler, &architectures)?;
    let table = table(&sources, &compiler, &architectures)?;
    fs::write(out.join("modules.rs"), table).map_err(|error| format!("modules.rs: {error}"))
}

fn variable(name: &str) -> Outcome<String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

/// The list, which must be of numbers with at most a letter behind, oldest first.
fn parse_architectures(list: &str) -> Outcome<Vec<String>> {
    let mut architectures = Vec::new();
    for name in list.split(',').map(str::trim) {
        let number = name.trim_end_matches(['a', 'f']);
        let number: u32 = number.parse().map_err(|_| {
            format!("{VARIABLE}={list}: {name} is no architecture; hint: 75,80,90a")
        })?;
        architectures.push((number, name.to_owned()));
    }
    architectures.sort();
    architectures.dedup();
    Ok(architectures.into_iter().map(|(_, name)| name).collect())
}

fn sources(folder: &Path, out: &Path) -> Outcome<Vec<Source>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|error| format!("{}: {error}", folder.display()))?
            .path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            paths.push(path);
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| Source::new(path, out))
        .collect()
}

/// Compiles what has changed, as many files at a time as cargo runs jobs.
fn compile(sources: &[Source], compiler: &Compiler, architectures: &[String]) -> Outcome<()> {
    let mut stale = Vec::new();
    for source in sources {
        if !source.is_fresh(&compiler.identity(architectures)) {
            stale.push(source);
        }
    }
    let n_jobs: usize = variable("NUM_JOBS")?.parse().unwrap_or(1);
    let n_workers = n_jobs.min(stale.len());
    if n_workers == 0 {
        return Ok(());
    }
    // What is left over, architectures of one file share.
    let n_threads = n_jobs / n_workers;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut errors = Vec::new();
        while let Some(source) = stale.get(next.fetch_add(1, Ordering::Relaxed)) {
            errors.extend(source.compile(compiler, architectures, n_threads).err());
        }
        errors
    };
    let errors: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..n_workers).map(|_| scope.spawn(work)).collect();
        let errors = workers.into_iter().map(|worker| worker.join());
        errors
            .flat_map(|errors| errors.expect("no panic"))
            .collect()
    });
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors.join("\n"))
    }
}

/// The source of the table of modules.
fn table(sources: &[Source], compiler: &Compiler, architectures: &[String]) -> Outcome<String> {
    let (major, minor) = compiler.version;
    let mut table = format!(
        "/// Version of CUDA that the modules were compiled with, as drivers write theirs.\n\
         pub(super) const TOOLKIT: u32 = {};\n\n\
         /// Compute capabilities that they have machine code for.\n\
         pub(super) const ARCHITECTURES: &[&str] = &{architectures:?};\n\n\
         pub(super) static MODULES: &[Module] = &[\n",
        major * 1000 + minor * 10
    );
    for source in sources {
        let kernels = source.kernels()?;
        let overlapping = kernels.iter().filter(|kernel| kernel.overlaps);
        let overlapping: Vec<&str> = overlapping.map(|kernel| &*kernel.name).collect();
        let kernels: Vec<&str> = kernels.iter().map(|kernel| &*kernel.name).collect();
        let image = source.image();
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "    Module {{ image: &Aligned(*include_bytes!({image:?})).0, kernels: &{kernels:?}, overlapping: &{overlapping:?} }},"
        );
    }
    table.push_str("];\n");
    Ok(table)
}

//! The kernels as C++, for the processor: a file of their own each, so that only what changed is
//! compiled anew.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;
use std::{env, fs, thread};

/// Compiles all kernels and what runs them to one library.
pub(super) fn build() {
    println!("cargo::rerun-if-changed=cu");
    println!("cargo::rerun-if-changed=build/emulated.rs");
    println!("cargo::rerun-if-env-changed=OBJCOPY");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where")).join("emulated");
    fs::create_dir_all(&out).expect("a folder for what is built");
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where")).join("cu");
    let mut kernels = files(&root, "cu");
    kernels.extend(files(&root.join("test"), "cu"));
    let mut sources: Vec<Source> = kernels.iter().map(|path| wrap(path, &out)).collect();
    let names = sources
        .iter()
        .map(|source| source.name.clone())
        .collect::<Vec<_>>();
    sources.push(table(&names, &out));
    sources.extend(
        files(&root.join("emulation"), "cpp")
            .into_iter()
            .map(|path| Source {
                name: format!("emulation_{}", stem(&path)),
                original: path.clone(),
                path,
                is_kernel: false,
            }),
    );
    archive(&compile(&sources, &root, &out), &out);
}

/// A file that the compiler is given.
struct Source {
    /// Of the object; an identifier.
    name: String,
    path: PathBuf,
    /// What was written by hand.
    original: PathBuf,
    is_kernel: bool,
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry of a folder").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().expect("a file has a name");
    stem.to_str().expect("names are ASCII").to_owned()
}

/// A kernel's file inside an unnamed namespace, and a symbol by which its object is found: kernels
/// themselves are entered into a list when the program starts, so that nobody names them.
fn wrap(kernel: &Path, out: &Path) -> Source {
    let is_test = kernel
        .parent()
        .is_some_and(|folder| folder.ends_with("test"));
    let name = if is_test {
        format!("test_{}", stem(kernel))
    } else {
        stem(kernel)
    };
    let path = out.join(format!("{name}.cpp"));
    let text = format!(
        "#define EMULATION_FILE {name}\n\
         #include \"emulation.h\"\n\
         namespace {{\n\
         #include \"{}\"\n\
         }}\n\
         extern \"C\" const int ponder_emulation_has_{name};\n\
         const int ponder_emulation_has_{name} = 1;\n",
        kernel.display()
    );
    write_if_new(&path, &text);
    Source {
        name,
        path,
        original: kernel.to_owned(),
        is_kernel: true,
    }
}

/// A function that names all files of kernels, so that the linker takes them.
fn table(names: &[String], out: &Path) -> Source {
    let mut text = String::new();
    for name in names {
        text += &format!("extern \"C\" const int ponder_emulation_has_{name};\n");
    }
    text += "extern \"C\" int ponder_emulation_n_files() {\n    return 0";
    for name in names {
        text += &format!(" + ponder_emulation_has_{name}");
    }
    text += ";\n}\n";
    let path = out.join("table.cpp");
    write_if_new(&path, &text);
    Source {
        name: "table".to_owned(),
        original: path.clone(),
        path,
        is_kernel: false,
    }
}

fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn compile(sources: &[Source], root: &Path, out: &Path) -> Vec<PathBuf> {
    let headers = newest(&[
        files(root, "cuh"),
        files(root, "h"),
        files(&root.join("test"), "cuh"),
        files(&root.join("emulation"), "h"),
        vec![root.with_file_name("build").join("emulated.rs")],
    ]);
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let objects: Vec<PathBuf> = sources
        .iter()
        .map(|source| out.join(format!("{}.o", source.name)))
        .collect();
    let stale: Vec<(&Source, &PathBuf)> = sources
        .iter()
        .zip(&objects)
        .filter(|(source, object)| {
            let changed = headers
                .max(modified(&source.path))
                .max(modified(&source.original));
            !object.exists() || modified(object) <= changed
        })
        .collect();
    thread::scope(|scope| {
        for first in 0..n_threads.min(stale.len()) {
            let own = stale.iter().skip(first).step_by(n_threads);
            scope.spawn(move || {
                for (source, object) in own {
                    compile_one(source, root, object);
                }
            });
        }
    });
    objects
}

fn newest(paths: &[Vec<PathBuf>]) -> SystemTime {
    let times = paths.iter().flatten().map(|path| modified(path));
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn modified(path: &Path) -> SystemTime {
    let metadata = fs::metadata(path).and_then(|metadata| metadata.modified());
    metadata.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Sums are not contracted, so that they are the same on every processor. A kernel's accesses are
/// checked: for alignment, for the bounds of arrays and of memory, and for races.
fn compile_one(source: &Source, root: &Path, object: &Path) {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .debug(false)
        .include(root)
        .define("PONDER_EMULATED", None)
        .flag("-ffp-contract=off")
        .flag("-fno-math-errno")
        .flag("-fno-strict-aliasing")
        .flag("-fwrapv")
        .flags(["-g1", "-gdwarf-4"])
        // Messages name files as they lie in `cu`.
        .flag(format!("-ffile-prefix-map={}/=", root.display()))
        .flag("-fno-exceptions")
        .flag("-fno-threadsafe-statics")
        .flag("-Wno-psabi")
        .warnings(true)
        .extra_warnings(true)
        .warnings_into_errors(true)
        .cargo_warnings(true);
    if source.is_kernel {
        // Every file includes functions that it does not call, and `#pragma unroll` is for nvcc.
        build
            .flag("-fno-data-sections")
            .flag("-Wno-unused-function")
            .flag("-Wno-unknown-pragmas")
            .flag("-Wno-maybe-uninitialized")
            .flag("-fsanitize=alignment,bounds,bool,shift-exponent,integer-divide-by-zero")
            .flag("-fno-sanitize-recover=all")
            // Accesses are announced as for ThreadSanitizer; `cu/emulation/races.cpp` is in its place.
            .flag("-fsanitize=thread")
            .flags(["--param", "tsan-distinguish-volatile=1"])
            .flags(["--param", "tsan-instrument-func-entry-exit=0"]);
    }
    let compiled = build
        .file(&source.path)
        .out_dir(
            object
                .parent()
                .expect("objects lie in a folder")
                .join(&source.name),
        )
        .compile_intermediates();
    if source.is_kernel {
        name_shared_variables(&compiled[0], &source.name);
    }
    fs::copy(&compiled[0], object).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
}

/// Shared variables are all that a kernel's file has without initial values. In a section of their
/// own, whose name is an identifier, the linker says where they begin and end.
fn name_shared_variables(object: &Path, name: &str) {
    let program = env::var("OBJCOPY").unwrap_or_else(|_| "objcopy".to_owned());
    let status = Command::new(&program)
        .arg(format!("--rename-section=.bss=ponder_shared_{name}"))
        .arg(object)
        .status();
    match status {
        Ok(status) if status.success() => {}
        other => panic!(
            "{program} {}: {other:?} (OBJCOPY names another one)",
            object.display()
        ),
    }
}

fn archive(objects: &[PathBuf], out: &Path) {
    cc::Build::new()
        .cpp(true)
        .cargo_metadata(true)
        .out_dir(out)
        .objects(objects)
        .compile("ponder_emulated");
}

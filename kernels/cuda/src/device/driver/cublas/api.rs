//! The functions of cuBLASLt, looked up in the library when it is first asked for.

use std::env;
use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;

use libloading::Library;

use super::super::api::Handle;
use super::super::functions::functions;

/// Turns the library off if it is 0.
const VARIABLE: &str = "PONDER_CUBLAS";

/// Where a toolkit is said to be.
const ROOTS: [&str; 2] = ["CUDA_HOME", "CUDA_PATH"];

/// Versions of CUDA whose libraries have these functions.
const VERSIONS: [u32; 2] = [13, 12];

/// Folders of a toolkit in which its libraries lie.
const FOLDERS: [&str; 2] = if cfg!(windows) {
    ["bin", "bin/x64"]
} else {
    ["lib64", "lib"]
};

/// A way of computing a product, of those that the library has.
pub(super) type Algorithm = [u64; 8];

/// A way that the library proposes, and what it thinks of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(super) struct Proposal {
    pub(super) algorithm: Algorithm,
    pub(super) workspace: usize,
    /// A code; 0 if this can be used.
    pub(super) state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

functions! {
    /// The library's functions; each is described in NVIDIA's manual of cuBLASLt. Addresses are of the
    /// device's memory.
    c_int;
    create = "cublasLtCreate"(*mut Handle);
    destroy = "cublasLtDestroy"(Handle);
    create_operation = "cublasLtMatmulDescCreate"(*mut Handle, c_int, c_int);
    set_operation = "cublasLtMatmulDescSetAttribute"(Handle, c_int, *const c_void, usize);
    destroy_operation = "cublasLtMatmulDescDestroy"(Handle);
    create_layout = "cublasLtMatrixLayoutCreate"(*mut Handle, c_int, u64, u64, i64);
    destroy_layout = "cublasLtMatrixLayoutDestroy"(Handle);
    create_preference = "cublasLtMatmulPreferenceCreate"(*mut Handle);
    set_preference = "cublasLtMatmulPreferenceSetAttribute"(Handle, c_int, *const c_void, usize);
    destroy_preference = "cublasLtMatmulPreferenceDestroy"(Handle);
    propose = "cublasLtMatmulAlgoGetHeuristic"(
        Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut Proposal, *mut c_int
    );
    multiply = "cublasLtMatmul"(
        Handle, Handle, *const f32, u64, Handle, u64, Handle, *const f32, u64, Handle, u64, Handle,
        *const Algorithm, u64, usize, Handle,
    );
}

impl Api {
    /// The functions, for a driver that speaks a version of CUDA; `None` where no library that goes
    /// with it is found, or it is turned off. It stays loaded until the program ends.
    pub(super) fn get(driver_version: u32) -> Option<&'static Self> {
        static API: OnceLock<Option<Api>> = OnceLock::new();
        let is_off = env::var_os(VARIABLE).is_some_and(|value| value == "0");
        API.get_or_init(|| (!is_off).then(|| Self::load(driver_version))?)
            .as_ref()
    }

    fn load(driver_version: u32) -> Option<Self> {
        let roots = ROOTS.iter().filter_map(env::var_os).map(PathBuf::from);
        let roots: Vec<PathBuf> = roots.collect();
        candidates(driver_version, &roots)
            .into_iter()
            .find_map(|path| {
                // SAFETY: loading the library runs what it does at first, which programs with CUDA rely on.
                let library = unsafe { Library::new(path) }.ok()?;
                // SAFETY: the library has the name of the one that the functions are of.
                unsafe { Self::look_up(library) }.ok()
            })
    }
}

/// Where the library may be, newest first: what the loader finds by its name, then in toolkits. A
/// library is not newer than the driver that it works with.
pub(super) fn candidates(driver_version: u32, roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for version in VERSIONS {
        if version > driver_version / 1000 {
            continue;
        }
        let name = file_name(version);
        let folders = |root: &PathBuf| FOLDERS.map(|folder| root.join(folder).join(&name));
        paths.push(PathBuf::from(&name));
        paths.extend(roots.iter().flat_map(folders));
    }
    paths
}

fn file_name(version: u32) -> String {
    if cfg!(windows) {
        format!("cublasLt64_{version}.dll")
    } else {
        format!("libcublasLt.so.{version}")
    }
}

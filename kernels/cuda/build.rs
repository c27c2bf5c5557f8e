//! Compiles the kernels: by nvcc for devices (feature `cuda`), as C++ for the processor (feature
//! `emulated`). Without these features there is nothing to do.

#[cfg(feature = "cuda")]
#[path = "build/cuda.rs"]
mod cuda;
#[cfg(feature = "emulated")]
#[path = "build/emulated.rs"]
mod emulated;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "cuda")]
    cuda::build();
    #[cfg(feature = "emulated")]
    emulated::build();
}

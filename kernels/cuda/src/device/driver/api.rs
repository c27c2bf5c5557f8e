//! The driver's functions, looked up in its library when it is first asked for.
//!
//! Only what is used is looked up, so that older drivers do; codes stay numbers, so that newer ones
//! may return codes that nobody here knows.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

use super::functions::functions;
use super::maps::EncodeTiled;
use super::status::{self, Status};
use crate::CudaError;

/// Something that the driver gave, to be handed back to it.
pub(super) type Handle = *mut c_void;

/// Where the library is looked for.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvcuda.dll"]
} else {
    &[
        "libcuda.so.1",
        "libcuda.so",
        // Of the Windows Subsystem for Linux, and of NixOS.
        "/usr/lib/wsl/lib/libcuda.so.1",
        "/run/opengl-driver/lib/libcuda.so.1",
    ]
};

/// `CUlaunchConfig`: how a kernel is started.
#[repr(C)]
pub(super) struct LaunchConfig {
    pub(super) grid: [c_uint; 3],
    pub(super) block: [c_uint; 3],
    pub(super) shared: c_uint,
    pub(super) stream: Handle,
    pub(super) attributes: *const LaunchAttribute,
    pub(super) n_attributes: c_uint,
}

/// `CUlaunchAttribute`: what else is said of a launch.
#[repr(C, align(8))]
#[derive(PartialEq, Eq)]
pub(super) struct LaunchAttribute {
    id: c_int,
    gap: c_int,
    /// Most attributes need less room.
    value: [c_int; 16],
}

impl LaunchAttribute {
    /// All blocks of the launch run at the same time.
    pub(super) const COOPERATES: Self = Self {
        id: 2,
        ..Self::OVERLAPS
    };

    /// The launch may start while the one before it is still running: programmatic stream
    /// serialization.
    pub(super) const OVERLAPS: Self = Self {
        id: 6,
        gap: 0,
        value: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };
}

functions! {
    /// The driver's functions; each is described in NVIDIA's manual of the driver API.
    Status;
    init = "cuInit"(c_uint);
    driver_version = "cuDriverGetVersion"(*mut c_int);
    error_name = "cuGetErrorName"(Status, *mut *const c_char);
    error_string = "cuGetErrorString"(Status, *mut *const c_char);

    device_count = "cuDeviceGetCount"(*mut c_int);
    device = "cuDeviceGet"(*mut c_int, c_int);
    device_name = "cuDeviceGetName"(*mut c_char, c_int, c_int);
    device_attribute = "cuDeviceGetAttribute"(*mut c_int, c_int, c_int);
    device_memory = "cuDeviceTotalMem_v2"(*mut usize, c_int);
    retain_context = "cuDevicePrimaryCtxRetain"(*mut Handle, c_int);
    release_context = "cuDevicePrimaryCtxRelease_v2"(c_int);
    set_context = "cuCtxSetCurrent"(Handle);

    memory_info = "cuMemGetInfo_v2"(*mut usize, *mut usize);
    alloc = "cuMemAlloc_v2"(*mut u64, usize);
    free = "cuMemFree_v2"(u64);
    alloc_pinned = "cuMemHostAlloc"(*mut Handle, usize, c_uint);
    free_pinned = "cuMemFreeHost"(Handle);
    upload = "cuMemcpyHtoDAsync_v2"(u64, *const c_void, usize, Handle);
    download = "cuMemcpyDtoHAsync_v2"(*mut c_void, u64, usize, Handle);
    copy = "cuMemcpyDtoDAsync_v2"(u64, u64, usize, Handle);
    set_bytes = "cuMemsetD8Async"(u64, u8, usize, Handle);

    create_stream = "cuStreamCreate"(*mut Handle, c_uint);
    destroy_stream = "cuStreamDestroy_v2"(Handle);
    wait_for_stream = "cuStreamSynchronize"(Handle);
    delay_stream = "cuStreamWaitEvent"(Handle, Handle, c_uint);
    create_event = "cuEventCreate"(*mut Handle, c_uint);
    destroy_event = "cuEventDestroy_v2"(Handle);
    record_event = "cuEventRecord"(Handle, Handle);
    wait_for_event = "cuEventSynchronize"(Handle);
    milliseconds = "cuEventElapsedTime"(*mut f32, Handle, Handle);

    load_module = "cuModuleLoadData"(*mut Handle, *const c_void);
    unload_module = "cuModuleUnload"(Handle);
    function = "cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
    set_function_attribute = "cuFuncSetAttribute"(Handle, c_int, c_int);
    function_attribute = "cuFuncGetAttribute"(*mut c_int, c_int, Handle);
    resident_blocks = "cuOccupancyMaxActiveBlocksPerMultiprocessor"(*mut c_int, Handle, c_int, usize);
    launch = "cuLaunchKernelEx"(*const LaunchConfig, Handle, *mut Handle, *mut Handle);

    begin_capture = "cuStreamBeginCapture_v2"(Handle, c_int);
    end_capture = "cuStreamEndCapture"(Handle, *mut Handle);
    destroy_graph = "cuGraphDestroy"(Handle);
    instantiate_graph = "cuGraphInstantiateWithFlags"(*mut Handle, Handle, u64);
    upload_graph = "cuGraphUpload"(Handle, Handle);
    launch_graph = "cuGraphLaunch"(Handle, Handle);
    destroy_executable = "cuGraphExecDestroy"(Handle);

    ? encode_tiled = "cuTensorMapEncodeTiled": EncodeTiled;
}

impl Api {
    /// The functions, after the driver was started; it stays loaded until the program ends.
    pub(super) fn get() -> Result<&'static Self, CudaError> {
        static API: OnceLock<Api> = OnceLock::new();
        if let Some(api) = API.get() {
            return Ok(api);
        }
        let api = Self::load()?;
        // SAFETY: it takes no flags.
        match unsafe { (api.init)(0) } {
            // No device is no failure here: their number says so.
            Status::SUCCESS | Status::NO_DEVICE => Ok(API.get_or_init(|| api)),
            Status::STUB_LIBRARY => Err(CudaError::NoDriver),
            status => Err(CudaError::Driver {
                operation: "starting the NVIDIA driver",
                message: format!(
                    "{} (hint: see what nvidia-smi says, or use --device cpu)",
                    status.message(&api)
                ),
            }),
        }
    }

    fn load() -> Result<Self, CudaError> {
        // SAFETY: loading the driver runs what it does at first; every program with CUDA relies on it.
        let library = |name: &&str| unsafe { Library::new(*name) }.ok();
        let library = NAMES.iter().find_map(library).ok_or(CudaError::NoDriver)?;
        let driver = version(&library);
        // SAFETY: the library has the name of the driver's.
        unsafe { Self::look_up(library) }.map_err(|function| CudaError::MissingFunction {
            function,
            driver: status::version_text(driver),
            needed: status::version_text(super::TOOLKIT),
        })
    }

    /// Version of CUDA that the driver speaks.
    pub(super) fn version(&self) -> Result<u32, CudaError> {
        let mut version = 0;
        // SAFETY: it writes a number.
        let status = unsafe { (self.driver_version)(&raw mut version) };
        status.check(self, "asking for the driver's version")?;
        Ok(version.unsigned_abs())
    }
}

/// The same, of a library that may lack everything else; 0 where it does not tell.
fn version(library: &Library) -> u32 {
    type Function = unsafe extern "system" fn(*mut c_int) -> Status;
    // SAFETY: the function of this name has this type in every driver.
    let Ok(function) = (unsafe { library.get::<Function>("cuDriverGetVersion\0") }) else {
        return 0;
    };
    let mut version = 0;
    // SAFETY: it writes a number.
    match unsafe { function(&raw mut version) } {
        Status::SUCCESS => version.unsigned_abs(),
        _ => 0,
    }
}

//! The kernels that were compiled as C++, by name.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::super::Launch;
use super::super::tensor_map::Encoded;
use super::refused;
use crate::CudaError;

/// More than any kernel has.
pub(super) const MAX_ARGUMENTS: usize = 64;

/// An argument, with its type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Pointer(u64),
    Number(u32),
    Real(f32),
    Map(&'a Encoded),
}

/// As in `cu/emulation/kernel.h`.
#[repr(C)]
struct Kernel {
    name: *const c_char,
    invoke: extern "C" fn(*const *const c_void),
    kinds: *const u8,
    n_arguments: usize,
    shared: [*mut u8; 2],
    next: *const Kernel,
}

const POINTER: u8 = 0;
const NUMBER: u8 = 1;
const REAL: u8 = 2;
const MAP: u8 = 3;

unsafe extern "C" {
    fn ponder_emulation_first_kernel() -> *const Kernel;
    fn ponder_emulation_n_files() -> c_int;
    fn ponder_emulation_launch(
        kernel: *const Kernel,
        grid: *const u32,
        threads: *const u32,
        n_shared: u32,
        arguments: *const *const c_void,
        order: u64,
    ) -> *const c_char;
}

/// A kernel's place in the list, which is never changed after the program has started.
#[derive(Clone, Copy)]
struct Entry(*const Kernel);

// SAFETY: what it points to is static and not changed.
unsafe impl Send for Entry {}
// SAFETY: the same.
unsafe impl Sync for Entry {}

static KERNELS: LazyLock<HashMap<&'static str, Entry>> = LazyLock::new(all);

/// One launch at a time: there is one block, and one memory that its threads share.
static TURN: Mutex<()> = Mutex::new(());

fn all() -> HashMap<&'static str, Entry> {
    // SAFETY: it returns a number. That it is called has the linker take the files that it names.
    assert!(unsafe { ponder_emulation_n_files() } > 0, "no kernels");
    let mut kernels = HashMap::new();
    // SAFETY: it returns the list's first element or null.
    let mut next = unsafe { ponder_emulation_first_kernel() };
    // SAFETY: elements of the list are static.
    while let Some(kernel) = unsafe { next.as_ref() } {
        // SAFETY: a name is a string of the program.
        let name = unsafe { CStr::from_ptr(kernel.name) };
        let name = name.to_str().expect("names are ASCII");
        let former = kernels.insert(name, Entry(next));
        assert!(former.is_none(), "two kernels are called {name}");
        next = kernel.next;
    }
    kernels
}

pub(super) fn names() -> Vec<&'static str> {
    KERNELS.keys().copied().collect()
}

/// Runs a kernel; gives what went wrong in it, if anything.
///
/// # Errors
/// Where there is no such kernel, or its arguments are others.
///
/// # Safety
/// What the kernel does with its arguments is sound. There are no more than [`MAX_ARGUMENTS`].
pub(super) unsafe fn launch(
    name: &str,
    launch: Launch,
    values: &[Value<'_>],
    order: u64,
) -> Result<Option<String>, CudaError> {
    let Some(&Entry(kernel)) = KERNELS.get(name) else {
        return Err(refused(format!("there is no kernel {name}")));
    };
    // SAFETY: elements of the list are static.
    check_arguments(name, unsafe { &*kernel }, values)?;
    let mut arguments = [std::ptr::null(); MAX_ARGUMENTS];
    for (argument, value) in arguments.iter_mut().zip(values) {
        *argument = value.as_ptr();
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: there are three sizes each, and as many arguments of the types as the kernel has; the
    // caller answers for the rest.
    let message = unsafe {
        ponder_emulation_launch(
            kernel,
            launch.grid.as_ptr(),
            launch.block.as_ptr(),
            launch.shared,
            arguments.as_ptr(),
            order,
        )
    };
    if message.is_null() {
        return Ok(None);
    }
    // SAFETY: a message is a string that stays until the next launch.
    let message = unsafe { CStr::from_ptr(message) };
    Ok(Some(message.to_string_lossy().into_owned()))
}

fn check_arguments(name: &str, kernel: &Kernel, values: &[Value<'_>]) -> Result<(), CudaError> {
    // SAFETY: the kernel has so many.
    let kinds = unsafe { std::slice::from_raw_parts(kernel.kinds, kernel.n_arguments) };
    if kinds.len() != values.len() {
        let (n, given) = (kinds.len(), values.len());
        return Err(refused(format!("{name} has {n} arguments, not {given}")));
    }
    for (i, (&kind, value)) in kinds.iter().zip(values).enumerate() {
        let (given, is_same) = match value {
            Value::Pointer(_) => ("a pointer", kind == POINTER),
            Value::Number(_) => ("u32", kind == NUMBER),
            Value::Real(_) => ("f32", kind == REAL),
            Value::Map(_) => ("a tensor map", kind == MAP),
        };
        if !is_same {
            return Err(refused(format!(
                "argument {i} of {name} is not {given} (counted from 0)"
            )));
        }
    }
    Ok(())
}

impl Value<'_> {
    fn as_ptr(&self) -> *const c_void {
        match self {
            Self::Pointer(value) => std::ptr::from_ref(value).cast(),
            Self::Number(value) => std::ptr::from_ref(value).cast(),
            Self::Real(value) => std::ptr::from_ref(value).cast(),
            Self::Map(map) => std::ptr::from_ref(*map).cast(),
        }
    }
}

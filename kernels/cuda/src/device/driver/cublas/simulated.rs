//! A library that notes what it is asked for. Each thread has one of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ptr;

use super::super::api::Handle;
use super::api::{Algorithm, Api, Proposal};

/// Which function fails, and what was asked for.
#[derive(Default)]
pub(super) struct World {
    /// A function that returns code 7.
    pub(super) failing: &'static str,
    /// What is proposed: how many ways, with how much workspace, in which state.
    pub(super) proposal: (c_int, usize, c_int),
    /// Products, in order.
    pub(super) products: Vec<Product>,
    pub(super) n_proposed: usize,
    /// What was described and not given back, with its attributes.
    described: BTreeMap<usize, Description>,
    n_described: usize,
    pub(super) n_libraries: usize,
}

/// What something is made with, and the attributes that it was given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Description {
    pub(super) made_with: Vec<i64>,
    pub(super) attributes: BTreeMap<c_int, u64>,
}

/// A call of `cublasLtMatmul`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Product {
    pub(super) operation: Description,
    /// Of the first and the second operand, and of what is added and what comes out.
    pub(super) layouts: [Vec<i64>; 4],
    pub(super) addresses: [u64; 4],
    pub(super) factors: [f32; 2],
    pub(super) algorithm: Algorithm,
    pub(super) workspace: (u64, usize),
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// This thread's library.
pub(super) fn world<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(look)
}

impl World {
    pub(super) fn n_held(&self) -> usize {
        self.described.len() + self.n_libraries
    }

    fn code(&self, function: &str) -> c_int {
        if self.failing == function { 7 } else { 0 }
    }

    fn describe(&mut self, function: &str, to: *mut Handle, made_with: Vec<i64>) -> c_int {
        let code = self.code(function);
        if code == 0 {
            self.n_described += 1;
            let description = Description {
                made_with,
                ..Description::default()
            };
            self.described.insert(self.n_described, description);
            // SAFETY: the caller gives a place for it.
            unsafe { *to = ptr::without_provenance_mut(self.n_described) };
        }
        code
    }

    fn of(&self, handle: Handle) -> Description {
        self.described[&handle.addr()].clone()
    }
}

unsafe extern "system" fn create(to: *mut Handle) -> c_int {
    world(|world| {
        if world.code("create") == 0 {
            world.n_libraries += 1;
            // SAFETY: the caller gives a place for it.
            unsafe { *to = ptr::without_provenance_mut(usize::MAX) };
        }
        world.code("create")
    })
}

unsafe extern "system" fn destroy(_library: Handle) -> c_int {
    world(|world| {
        assert_eq!(world.described.len(), 0, "plans are dropped before");
        world.n_libraries -= 1;
        0
    })
}

unsafe extern "system" fn give_back(handle: Handle) -> c_int {
    world(|world| {
        assert!(world.described.remove(&handle.addr()).is_some());
        0
    })
}

unsafe extern "system" fn create_operation(to: *mut Handle, sums: c_int, factors: c_int) -> c_int {
    let made_with = vec![i64::from(sums), i64::from(factors)];
    world(|world| world.describe("create_operation", to, made_with))
}

unsafe extern "system" fn create_layout(
    to: *mut Handle,
    numbers: c_int,
    n_rows: u64,
    n_columns: u64,
    step: i64,
) -> c_int {
    let made_with = vec![i64::from(numbers), n_rows as i64, n_columns as i64, step];
    world(|world| world.describe("create_layout", to, made_with))
}

unsafe extern "system" fn create_preference(to: *mut Handle) -> c_int {
    world(|world| world.describe("create_preference", to, Vec::new()))
}

fn set(function: &str, of: Handle, attribute: c_int, value: *const c_void, len: usize) -> c_int {
    let mut bytes = [0; 8];
    // SAFETY: the caller gives so many bytes.
    unsafe { ptr::copy_nonoverlapping(value.cast(), bytes.as_mut_ptr(), len) };
    world(|world| {
        let description = world.described.get_mut(&of.addr()).expect("it was made");
        let value = u64::from_le_bytes(bytes);
        description.attributes.insert(attribute, value);
        world.code(function)
    })
}

unsafe extern "system" fn set_operation(
    of: Handle,
    attribute: c_int,
    value: *const c_void,
    len: usize,
) -> c_int {
    // Operation of the first operand, epilogue, its operand, and the type of that.
    let size = match attribute {
        3 | 7 | 26 => 4,
        8 => 8,
        _ => panic!("attribute {attribute}"),
    };
    assert_eq!(len, size);
    set("set_operation", of, attribute, value, len)
}

unsafe extern "system" fn set_preference(
    of: Handle,
    attribute: c_int,
    value: *const c_void,
    len: usize,
) -> c_int {
    assert_eq!((attribute, len), (1, 8), "bytes of the workspace");
    set("set_preference", of, attribute, value, len)
}

#[rustfmt::skip]
unsafe extern "system" fn propose(
    _library: Handle,
    operation: Handle,
    a: Handle, b: Handle, c: Handle, d: Handle,
    preference: Handle,
    most: c_int,
    to: *mut Proposal,
    n: *mut c_int,
) -> c_int {
    assert_eq!(most, 1);
    world(|world| {
        for handle in [operation, a, b, c, d, preference] {
            world.of(handle);
        }
        world.n_proposed += 1;
        let (count, workspace, state) = world.proposal;
        // SAFETY: the caller gives places for one proposal and a number.
        unsafe {
            *n = count;
            (*to).algorithm = [world.n_proposed as u64; 8];
            (*to).workspace = workspace;
            (*to).state = state;
        }
        world.code("propose")
    })
}

#[rustfmt::skip]
unsafe extern "system" fn multiply(
    _library: Handle,
    operation: Handle,
    alpha: *const f32,
    a: u64, a_layout: Handle,
    b: u64, b_layout: Handle,
    beta: *const f32,
    c: u64, c_layout: Handle,
    d: u64, d_layout: Handle,
    algorithm: *const Algorithm,
    workspace: u64, workspace_len: usize,
    _stream: Handle,
) -> c_int {
    world(|world| {
        let layouts = [a_layout, b_layout, c_layout, d_layout];
        let product = Product {
            operation: world.of(operation),
            layouts: layouts.map(|layout| world.of(layout).made_with),
            addresses: [a, b, c, d],
            // SAFETY: the caller gives numbers.
            factors: unsafe { [*alpha, *beta] },
            // SAFETY: the caller gives what was proposed.
            algorithm: unsafe { *algorithm },
            workspace: (workspace, workspace_len),
        };
        world.products.push(product);
        world.code("multiply")
    })
}

/// Functions of this library.
pub(super) static API: Api = Api {
    create,
    destroy,
    create_operation,
    set_operation,
    destroy_operation: give_back,
    create_layout,
    destroy_layout: give_back,
    create_preference,
    set_preference,
    destroy_preference: give_back,
    propose,
    multiply,
    _library: None,
};

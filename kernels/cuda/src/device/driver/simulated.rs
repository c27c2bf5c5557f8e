//! A driver that does everything as late as it may: what is put on the stream happens when somebody
//! waits for it. So what must not be touched until then is found out when it is touched.
//!
//! Each thread has a driver of its own, with one device.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;

use super::api::{Api, Handle, LaunchConfig};
use super::status::Status;

/// What the device is, and what has been asked of it.
pub(super) struct World {
    pub(super) version: c_int,
    pub(super) n_devices: c_int,
    pub(super) capability: (c_int, c_int),
    /// The architecture of the code that kernels were made from.
    pub(super) made_for: c_int,
    /// Bytes of memory.
    pub(super) memory: usize,
    /// What loading a module returns.
    pub(super) loading: Status,
    /// Kernels that the device does not have.
    pub(super) missing: &'static [&'static str],
    /// What waiting for the stream returns.
    pub(super) waiting: Status,
    /// Launches that have happened.
    pub(super) launches: Vec<Launched>,
    /// Shared memory that was asked for.
    pub(super) shared: HashMap<String, c_int>,
    allocated: HashMap<u64, Box<[u8]>>,
    stream: VecDeque<Work>,
    /// What is captured goes here instead.
    captured: Option<Vec<Work>>,
    graphs: Vec<Vec<Work>>,
    functions: Vec<String>,
    /// What waits for an event, as a number of works from the beginning.
    events: Vec<usize>,
    n_done: usize,
    /// Contexts, streams, modules, events and pinned memory that were not given back.
    pub(super) n_held: usize,
}

/// A launch, with as many bytes of arguments as were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launched {
    pub(super) kernel: String,
    pub(super) sizes: [c_uint; 7],
    pub(super) args: Vec<u64>,
    pub(super) overlaps: bool,
}

#[derive(Clone)]
enum Work {
    Move(*mut u8, *const u8, usize),
    Set(*mut u8, u8, usize),
    Launch(Launched),
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World {
        version: 13000,
        n_devices: 1,
        capability: (9, 0),
        made_for: 90,
        memory: 1 << 30,
        loading: Status::SUCCESS,
        missing: &[],
        waiting: Status::SUCCESS,
        launches: Vec::new(),
        shared: HashMap::new(),
        allocated: HashMap::new(),
        stream: VecDeque::new(),
        captured: None,
        graphs: Vec::new(),
        functions: Vec::new(),
        events: Vec::new(),
        n_done: 0,
        n_held: 0,
    });
    /// How many arguments the kernels have whose launches are recorded.
    static N_ARGS: RefCell<usize> = const { RefCell::new(0) };
}

/// This thread's driver.
pub(super) fn world<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(look)
}

/// Says how many arguments kernels have.
pub(super) fn set_n_args(n_args: usize) {
    N_ARGS.set(n_args);
}

impl World {
    pub(super) fn n_allocated(&self) -> usize {
        self.allocated.len()
    }

    fn used(&self) -> usize {
        self.allocated.values().map(|bytes| bytes.len()).sum()
    }

    fn put(&mut self, work: Work) -> Status {
        match &mut self.captured {
            Some(captured) => captured.push(work),
            None => self.stream.push_back(work),
        }
        Status::SUCCESS
    }

    /// Does what is on the stream, up to the work of this number.
    fn run_to(&mut self, end: usize) -> Status {
        while self.n_done < end
            && let Some(work) = self.stream.pop_front()
        {
            self.n_done += 1;
            match work {
                // SAFETY: who put this on the stream answers for the memory until it is done.
                Work::Move(to, from, len) => unsafe { ptr::copy_nonoverlapping(from, to, len) },
                // SAFETY: the same.
                Work::Set(at, value, len) => unsafe { ptr::write_bytes(at, value, len) },
                Work::Launch(launched) => self.launches.push(launched),
            }
        }
        self.waiting
    }

    fn end(&self) -> usize {
        self.n_done + self.stream.len()
    }
}

/// Waiting and the like invalidate a capture.
const NOT_IN_A_CAPTURE: Status = Status(900);
const INVALID_VALUE: Status = Status(1);

fn at(address: u64) -> *mut u8 {
    ptr::with_exposed_provenance_mut(address as usize)
}

fn handle(number: usize) -> Handle {
    ptr::without_provenance_mut(number + 1)
}

fn number(handle: Handle) -> usize {
    handle.addr() - 1
}

/// Functions that write one value.
macro_rules! gives {
    ($($name:ident($to:ident: $type:ty $(, $arg:ident: $arg_type:ty)*) = $value:expr;)*) => {$(
        unsafe extern "system" fn $name($to: *mut $type $(, $arg: $arg_type)*) -> Status {
            // SAFETY: the caller gives a place for it.
            unsafe { *$to = $value };
            Status::SUCCESS
        }
    )*};
}

/// Functions that do something with the world.
macro_rules! does {
    ($($name:ident($($arg:ident: $type:ty),*) = $body:expr;)*) => {$(
        unsafe extern "system" fn $name($($arg: $type),*) -> Status {
            #[allow(clippy::redundant_closure_call)]
            world($body)
        }
    )*};
}

gives! {
    driver_version(to: c_int) = world(|world| world.version);
    device_count(to: c_int) = world(|world| world.n_devices);
    device(to: c_int, ordinal: c_int) = ordinal;
    device_memory(to: usize, _device: c_int) = world(|world| world.memory);
    retain_context(to: Handle, _device: c_int) = hold(0);
    create_stream(to: Handle, _flags: c_uint) = hold(0);
    milliseconds(to: f32, from: Handle, until: Handle) = world(|world| {
        (world.events[number(until)] - world.events[number(from)]) as f32
    });
}

fn hold(number: usize) -> Handle {
    world(|world| world.n_held += 1);
    handle(number)
}

does! {
    init(_flags: c_uint) = |_world| Status::SUCCESS;
    release_context(_device: c_int) = |world| { world.n_held -= 1; Status::SUCCESS };
    set_context(_context: Handle) = |_world| Status::SUCCESS;
    free(address: u64) = |world| {
        assert!(world.stream.is_empty(), "freed while the stream may use it");
        match world.allocated.remove(&address) {
            Some(_) => Status::SUCCESS,
            None => INVALID_VALUE,
        }
    };
    upload(to: u64, from: *const c_void, len: usize, _stream: Handle) =
        |world| world.put(Work::Move(at(to), from.cast(), len));
    download(to: *mut c_void, from: u64, len: usize, _stream: Handle) =
        |world| world.put(Work::Move(to.cast(), at(from), len));
    copy(to: u64, from: u64, len: usize, _stream: Handle) =
        |world| world.put(Work::Move(at(to), at(from), len));
    set_bytes(to: u64, value: u8, len: usize, _stream: Handle) =
        |world| world.put(Work::Set(at(to), value, len));
    destroy_stream(_stream: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
    wait_for_stream(_stream: Handle) = |world| match world.captured {
        Some(_) => NOT_IN_A_CAPTURE,
        None => { let end = world.end(); world.run_to(end) }
    };
    destroy_event(_event: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
    record_event(event: Handle, _stream: Handle) = |world| {
        if world.captured.is_some() {
            return NOT_IN_A_CAPTURE;
        }
        world.events[number(event)] = world.end();
        Status::SUCCESS
    };
    wait_for_event(event: Handle) = |world| match world.events[number(event)] {
        end if end <= world.n_done => Status::SUCCESS,
        end => world.run_to(end),
    };
    unload_module(_module: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
    set_function_attribute(function: Handle, attribute: c_int, value: c_int) = |world| {
        assert_eq!(attribute, 8);
        let name = world.functions[number(function)].clone();
        world.shared.insert(name, value);
        Status::SUCCESS
    };
    begin_capture(_stream: Handle, mode: c_int) = |world| {
        assert_eq!(mode, 2);
        world.captured = Some(Vec::new());
        Status::SUCCESS
    };
    destroy_graph(_graph: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
    upload_graph(_graph: Handle, _stream: Handle) = |_world| Status::SUCCESS;
    launch_graph(graph: Handle, _stream: Handle) = |world| {
        let works = world.graphs[number(graph)].clone();
        world.stream.extend(works);
        Status::SUCCESS
    };
    destroy_executable(_graph: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
}

unsafe extern "system" fn text(_status: Status, to: *mut *const c_char) -> Status {
    // SAFETY: the caller gives a place for it.
    unsafe { *to = c"WORDS".as_ptr() };
    Status::SUCCESS
}

unsafe extern "system" fn device_name(to: *mut c_char, len: c_int, _device: c_int) -> Status {
    let name = c"Simulated";
    assert!(name.count_bytes() < len as usize);
    // SAFETY: the caller gives a place that is long enough.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr(), to, name.count_bytes() + 1) };
    Status::SUCCESS
}

unsafe extern "system" fn device_attribute(to: *mut c_int, number: c_int, _: c_int) -> Status {
    let value = world(|world| match number {
        13 => 1_980_000,
        16 => 132,
        36 => 0,
        75 => world.capability.0,
        76 => world.capability.1,
        97 => 227 << 10,
        _ => panic!("attribute {number}"),
    });
    // SAFETY: the caller gives a place for it.
    unsafe { *to = value };
    Status::SUCCESS
}

unsafe extern "system" fn memory_info(free: *mut usize, total: *mut usize) -> Status {
    world(|world| {
        // SAFETY: the caller gives places for them.
        unsafe { (*free, *total) = (world.memory - world.used(), world.memory) };
    });
    Status::SUCCESS
}

unsafe extern "system" fn alloc(to: *mut u64, len: usize) -> Status {
    world(|world| {
        if len == 0 {
            return INVALID_VALUE;
        }
        if world.used() + len > world.memory {
            return Status::OUT_OF_MEMORY;
        }
        let mut bytes = vec![0xcc; len].into_boxed_slice();
        let address = bytes.as_mut_ptr().expose_provenance() as u64;
        world.allocated.insert(address, bytes);
        // SAFETY: the caller gives a place for it.
        unsafe { *to = address };
        Status::SUCCESS
    })
}

unsafe extern "system" fn alloc_pinned(to: *mut Handle, len: usize, _flags: c_uint) -> Status {
    hold(0);
    // Never freed: what would be read or written later would be another's by then.
    let bytes = Box::leak(vec![0xdd_u8; len].into_boxed_slice());
    // SAFETY: the caller gives a place for it.
    unsafe { *to = bytes.as_mut_ptr().cast() };
    Status::SUCCESS
}

unsafe extern "system" fn free_pinned(_at: Handle) -> Status {
    world(|world| {
        assert!(world.stream.is_empty(), "freed while the stream may use it");
        world.n_held -= 1;
    });
    Status::SUCCESS
}

unsafe extern "system" fn create_event(to: *mut Handle, _flags: c_uint) -> Status {
    let number = world(|world| {
        world.events.push(0);
        world.events.len() - 1
    });
    // SAFETY: the caller gives a place for it.
    unsafe { *to = hold(number) };
    Status::SUCCESS
}

unsafe extern "system" fn load_module(to: *mut Handle, image: *const c_void) -> Status {
    let loading = world(|world| world.loading);
    if loading == Status::SUCCESS {
        // SAFETY: an image begins with a magic number; the caller gives a place for the handle.
        unsafe {
            assert_eq!(*image.cast::<u32>(), 0xBA55_ED50);
            *to = hold(0);
        }
    }
    loading
}

unsafe extern "system" fn function(to: *mut Handle, _: Handle, name: *const c_char) -> Status {
    // SAFETY: the caller gives a text.
    let name = unsafe { CStr::from_ptr(name) }.to_str().expect("a name");
    world(|world| {
        if world.missing.contains(&name) {
            return Status::NOT_FOUND;
        }
        world.functions.push(name.to_owned());
        // SAFETY: the caller gives a place for it.
        unsafe { *to = handle(world.functions.len() - 1) };
        Status::SUCCESS
    })
}

unsafe extern "system" fn function_attribute(
    to: *mut c_int,
    attribute: c_int,
    _function: Handle,
) -> Status {
    assert_eq!(attribute, 5, "what it was made for");
    // SAFETY: the caller gives a place for it.
    unsafe { *to = world(|world| world.made_for) };
    Status::SUCCESS
}

unsafe extern "system" fn launch(
    config: *const LaunchConfig,
    function: Handle,
    args: *mut Handle,
    extra: *mut Handle,
) -> Status {
    assert!(extra.is_null());
    // SAFETY: the caller gives one.
    let config = unsafe { &*config };
    let args = (0..N_ARGS.with_borrow(|n_args| *n_args)).map(|i| {
        // SAFETY: there are so many arguments, each in eight bytes.
        unsafe { *(*args.add(i)).cast::<u64>() }
    });
    let args = args.collect();
    let ([gx, gy, gz], [bx, by, bz]) = (config.grid, config.block);
    world(|world| {
        let kernel = world.functions[number(function)].clone();
        world.put(Work::Launch(Launched {
            kernel,
            sizes: [gx, gy, gz, bx, by, bz, config.shared],
            args,
            overlaps: config.n_attributes == 1,
        }))
    })
}

unsafe extern "system" fn end_capture(_stream: Handle, to: *mut Handle) -> Status {
    let graph = world(|world| {
        let captured = world.captured.take().expect("a capture");
        world.graphs.push(captured);
        world.graphs.len() - 1
    });
    // SAFETY: the caller gives a place for it.
    unsafe { *to = hold(graph) };
    Status::SUCCESS
}

unsafe extern "system" fn instantiate_graph(to: *mut Handle, graph: Handle, _: u64) -> Status {
    // SAFETY: the caller gives a place for it.
    unsafe { *to = hold(number(graph)) };
    Status::SUCCESS
}

/// Functions of this driver.
pub(super) static API: Api = Api {
    init,
    driver_version,
    error_name: text,
    error_string: text,
    device_count,
    device,
    device_name,
    device_attribute,
    device_memory,
    retain_context,
    release_context,
    set_context,
    memory_info,
    alloc,
    free,
    alloc_pinned,
    free_pinned,
    upload,
    download,
    copy,
    set_bytes,
    create_stream,
    destroy_stream,
    wait_for_stream,
    create_event,
    destroy_event,
    record_event,
    wait_for_event,
    milliseconds,
    load_module,
    unload_module,
    function,
    set_function_attribute,
    function_attribute,
    launch,
    begin_capture,
    end_capture,
    destroy_graph,
    instantiate_graph,
    upload_graph,
    launch_graph,
    destroy_executable,
    _library: None,
};

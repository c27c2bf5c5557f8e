//! A driver that does everything as late as it may: what is put on a stream happens when somebody
//! waits for it. So what must not be touched until then is found out when it is touched.
//!
//! Each thread has a driver of its own, with one device, until it enters another one's context.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use super::api::{Api, Handle, LaunchAttribute, LaunchConfig};
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
    /// What asking for pinned memory returns.
    pub(super) pinning: Status,
    /// Kernels that the device does not have.
    pub(super) missing: &'static [&'static str],
    /// What waiting for the stream returns.
    pub(super) waiting: Status,
    /// Launches that have happened.
    pub(super) launches: Vec<Launched>,
    /// Shared memory that was asked for.
    pub(super) shared: HashMap<String, c_int>,
    /// What waiting for events on another stream than the first one returns.
    pub(super) delivering: Status,
    allocated: HashMap<u64, Box<[u8]>>,
    pinned: HashMap<u64, usize>,
    streams: Vec<Stream>,
    /// What is captured of the first stream goes here instead.
    captured: Option<Vec<Work>>,
    graphs: Vec<Vec<Work>>,
    functions: Vec<String>,
    events: Vec<Point>,
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
    pub(super) cooperates: bool,
    /// What lay at the beginning of the memory that the first argument is, when it happened.
    pub(super) first_byte: Option<u8>,
}

#[derive(Clone)]
enum Work {
    Move(*mut u8, *const u8, usize),
    Set(*mut u8, u8, usize),
    Launch(Launched),
    Wait(Point),
}

// SAFETY: who puts this on a stream answers for the memory until it is done, by whatever thread.
unsafe impl Send for Work {}

#[derive(Default)]
struct Stream {
    works: VecDeque<Work>,
    n_done: usize,
}

/// A stream, and a number of works from its beginning.
#[derive(Clone, Copy, Default)]
struct Point {
    stream: usize,
    end: usize,
}

/// All drivers; a context is the number of one.
static WORLDS: Mutex<Vec<Arc<Mutex<World>>>> = Mutex::new(Vec::new());

fn new_world() -> usize {
    let world = World {
        version: 13000,
        n_devices: 1,
        capability: (9, 0),
        made_for: 90,
        memory: 1 << 30,
        loading: Status::SUCCESS,
        pinning: Status::SUCCESS,
        missing: &[],
        waiting: Status::SUCCESS,
        delivering: Status::SUCCESS,
        launches: Vec::new(),
        shared: HashMap::new(),
        allocated: HashMap::new(),
        pinned: HashMap::new(),
        streams: Vec::new(),
        captured: None,
        graphs: Vec::new(),
        functions: Vec::new(),
        events: Vec::new(),
        n_held: 0,
    };
    let mut worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
    worlds.push(Arc::new(Mutex::new(world)));
    worlds.len() - 1
}

thread_local! {
    static WORLD: Cell<usize> = Cell::new(new_world());
    /// How many arguments the kernels have whose launches are recorded.
    static N_ARGS: RefCell<usize> = const { RefCell::new(0) };
}

/// This thread's driver.
pub(super) fn world<T>(look: impl FnOnce(&mut World) -> T) -> T {
    let own = WORLD.get();
    let world = {
        let worlds = WORLDS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&worlds[own])
    };
    look(&mut world.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Says how many arguments kernels have.
pub(super) fn set_n_args(n_args: usize) {
    N_ARGS.set(n_args);
}

impl World {
    pub(super) fn n_allocated(&self) -> usize {
        self.allocated.len()
    }

    /// Bytes.
    pub(super) fn n_pinned(&self) -> usize {
        self.pinned.values().sum()
    }

    fn used(&self) -> usize {
        self.allocated.values().map(|bytes| bytes.len()).sum()
    }

    fn put(&mut self, stream: Handle, work: Work) -> Status {
        match (&mut self.captured, number(stream)) {
            (Some(captured), 0) => captured.push(work),
            (_, stream) => self.streams[stream].works.push_back(work),
        }
        Status::SUCCESS
    }

    /// Does what is on a stream, up to a point, and before it what that waits for.
    fn run_to(&mut self, Point { stream, end }: Point) -> Status {
        while self.streams[stream].n_done < end
            && let Some(work) = self.streams[stream].works.pop_front()
        {
            self.streams[stream].n_done += 1;
            match work {
                // SAFETY: who put this on the stream answers for the memory until it is done.
                Work::Move(to, from, len) => unsafe { ptr::copy_nonoverlapping(from, to, len) },
                // SAFETY: the same.
                Work::Set(at, value, len) => unsafe { ptr::write_bytes(at, value, len) },
                Work::Launch(mut launched) => {
                    let first = launched.args.first();
                    let memory = first.and_then(|address| self.allocated.get(address));
                    launched.first_byte = memory.map(|bytes| bytes[0]);
                    self.launches.push(launched);
                }
                Work::Wait(point) => {
                    self.run_to(point);
                }
            }
        }
        match stream {
            0 => self.waiting,
            _ => self.delivering,
        }
    }

    /// The point behind everything that is on a stream.
    fn end(&self, stream: Handle) -> Point {
        let stream = number(stream);
        let Stream { works, n_done } = &self.streams[stream];
        let end = n_done + works.len();
        Point { stream, end }
    }

    /// Panics where something on a stream uses these bytes; a kernel may use any of the device.
    fn assert_unused(&self, begin: u64, len: usize, may_kernels: bool) {
        let freed = begin..begin + len as u64;
        let overlaps = |at: *const u8, len: usize| {
            let used: Range<u64> = at.addr() as u64..(at.addr() + len) as u64;
            used.start < freed.end && freed.start < used.end
        };
        let mut works = self.streams.iter().flat_map(|stream| &stream.works);
        let is_used = works.any(|work| match *work {
            Work::Move(to, from, len) => overlaps(to, len) || overlaps(from, len),
            Work::Set(at, _, len) => overlaps(at, len),
            Work::Launch(_) => may_kernels,
            Work::Wait(_) => false,
        });
        assert!(!is_used, "freed while a stream may use it");
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
    retain_context(to: Handle, _device: c_int) = hold(WORLD.get());
    create_stream(to: Handle, _flags: c_uint) = hold(world(|world| {
        world.streams.push(Stream::default());
        world.streams.len() - 1
    }));
    milliseconds(to: f32, from: Handle, until: Handle) = world(|world| {
        (world.events[number(until)].end - world.events[number(from)].end) as f32
    });
}

fn hold(number: usize) -> Handle {
    world(|world| world.n_held += 1);
    handle(number)
}

does! {
    init(_flags: c_uint) = |_world| Status::SUCCESS;
    release_context(_device: c_int) = |world| { world.n_held -= 1; Status::SUCCESS };
    free(address: u64) = |world| {
        match world.allocated.remove(&address) {
            Some(bytes) => {
                world.assert_unused(address, bytes.len(), true);
                Status::SUCCESS
            }
            None => INVALID_VALUE,
        }
    };
    upload(to: u64, from: *const c_void, len: usize, stream: Handle) =
        |world| world.put(stream, Work::Move(at(to), from.cast(), len));
    download(to: *mut c_void, from: u64, len: usize, stream: Handle) =
        |world| world.put(stream, Work::Move(to.cast(), at(from), len));
    copy(to: u64, from: u64, len: usize, stream: Handle) =
        |world| world.put(stream, Work::Move(at(to), at(from), len));
    set_bytes(to: u64, value: u8, len: usize, stream: Handle) =
        |world| world.put(stream, Work::Set(at(to), value, len));
    destroy_stream(_stream: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
    wait_for_stream(stream: Handle) = |world| match (&world.captured, number(stream)) {
        (Some(_), 0) => NOT_IN_A_CAPTURE,
        _ => { let end = world.end(stream); world.run_to(end) }
    };
    delay_stream(stream: Handle, event: Handle, _flags: c_uint) = |world| {
        let point = world.events[number(event)];
        assert_ne!(point.stream, number(stream), "a stream waits for itself");
        world.put(stream, Work::Wait(point))
    };
    destroy_event(_event: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
    record_event(event: Handle, stream: Handle) = |world| {
        if world.captured.is_some() && number(stream) == 0 {
            return NOT_IN_A_CAPTURE;
        }
        world.events[number(event)] = world.end(stream);
        Status::SUCCESS
    };
    wait_for_event(event: Handle) = |world| match world.events[number(event)] {
        point if point.end <= world.streams.get(point.stream).map_or(0, |stream| stream.n_done) => {
            Status::SUCCESS
        }
        point => world.run_to(point),
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
        world.streams[0].works.extend(works);
        Status::SUCCESS
    };
    destroy_executable(_graph: Handle) = |world| { world.n_held -= 1; Status::SUCCESS };
}

unsafe extern "system" fn set_context(context: Handle) -> Status {
    WORLD.set(number(context));
    Status::SUCCESS
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
        95 => 1,
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
    let pinning = world(|world| world.pinning);
    if pinning != Status::SUCCESS {
        return pinning;
    }
    hold(0);
    // Never freed: what would be read or written later would be another's by then.
    let bytes = Box::leak(vec![0xdd_u8; len].into_boxed_slice());
    let address = bytes.as_mut_ptr().addr() as u64;
    world(|world| world.pinned.insert(address, len));
    // SAFETY: the caller gives a place for it.
    unsafe { *to = bytes.as_mut_ptr().cast() };
    Status::SUCCESS
}

unsafe extern "system" fn free_pinned(at: Handle) -> Status {
    world(|world| {
        let address = at.addr() as u64;
        let len = world.pinned.remove(&address).expect("it was allocated");
        world.assert_unused(address, len, false);
        world.n_held -= 1;
    });
    Status::SUCCESS
}

unsafe extern "system" fn create_event(to: *mut Handle, _flags: c_uint) -> Status {
    let number = world(|world| {
        world.events.push(Point::default());
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

unsafe extern "system" fn resident_blocks(
    to: *mut c_int,
    _function: Handle,
    threads: c_int,
    _shared: usize,
) -> Status {
    assert_eq!(threads, 128);
    // SAFETY: the caller gives a place for it.
    unsafe { *to = 3 };
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
        let sizes = [gx, gy, gz, bx, by, bz, config.shared];
        let has = |attribute| {
            // SAFETY: the caller gives as many as it says.
            config.n_attributes > 0 && unsafe { *config.attributes == attribute }
        };
        let [overlaps, cooperates] =
            [LaunchAttribute::OVERLAPS, LaunchAttribute::COOPERATES].map(has);
        world.put(
            config.stream,
            Work::Launch(Launched {
                kernel,
                sizes,
                args,
                overlaps,
                cooperates,
                first_byte: None,
            }),
        )
    })
}

/// A map that is a list of what it was made from: two words for sizes, one for each other number.
#[rustfmt::skip]
unsafe extern "system" fn encode_tiled(
    to: *mut c_void,
    kind: c_int,
    n_dimensions: c_uint,
    address: *mut c_void,
    sizes: *const u64,
    strides: *const u64,
    tile: *const u32,
    steps: *const u32,
    interleave: c_int, swizzle: c_int, promotion: c_int, fill: c_int,
) -> Status {
    assert_eq!(to.addr() % 64, 0, "maps are aligned to 64");
    assert_eq!(n_dimensions, 2);
    let enumerations = [kind, interleave, swizzle, promotion, fill].map(|n| n.unsigned_abs().into());
    // SAFETY: there are two sizes each, and one distance; a map has 128 bytes.
    unsafe {
        let sizes = [*sizes, *sizes.add(1), *strides];
        let tile = [*tile, *tile.add(1), *steps, *steps.add(1)].map(u64::from);
        let words = [address.addr() as u64].into_iter().chain(sizes).chain(tile).chain(enumerations);
        words.enumerate().for_each(|(i, word)| *to.cast::<u64>().add(i) = word);
    }
    Status::SUCCESS
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
    delay_stream,
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
    resident_blocks,
    launch,
    begin_capture,
    end_capture,
    destroy_graph,
    instantiate_graph,
    upload_graph,
    launch_graph,
    destroy_executable,
    encode_tiled: Some(encode_tiled),
    _library: None,
};

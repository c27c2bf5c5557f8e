//! What a device can do at most, measured on it, by its own clock.
//!
//! Read bandwidth is that of memory several times larger than any cache; the peak of products is that
//! of the instruction that matrix products of the kernels are made of, on operands that stay in
//! registers, or, of warpgroups, in shared memory. Both are the best of many runs.

#[cfg(all(test, feature = "emulated"))]
mod tests;

use std::time::{Duration, Instant};

use crate::view::count;
use crate::{Arg, CudaError, Device, Launch, Memory};

/// Bytes that are read, and the fewest that say anything about memory.
const READ: usize = 1 << 30;
const LEAST_READ: usize = 256 << 20;
/// Bytes by chance, of which the memory is made.
const NOISE: usize = 1 << 20;

/// Threads of a block, and blocks for each multiprocessor; no device runs more threads at a time.
const THREADS: usize = 256;
const READ_BLOCKS: usize = 8;

/// A lane's share of 16x16 and 16x8 numbers, two to a word, and the latter's number.
const LEFT_WORDS: usize = 4;
const RIGHT_WORDS: usize = 2;
const PRODUCTS: usize = 8;
const LANES: usize = 32;
/// Blocks for each multiprocessor, all of which run at the same time, and how often they multiply.
const PRODUCT_BLOCKS: usize = 4;
const ROUNDS: usize = 4096;

/// A tile of 64 rows of 64 numbers, those of a block of two warpgroups (one each, and four for 256
/// columns), and what a round of a warpgroup multiplies: four times 64 numbers of each row and column.
const TILE_BYTES: usize = 64 * 64 * 2;
const WARPGROUPS: usize = 2;
const COLUMNS: usize = 256;
const TILES: usize = WARPGROUPS + COLUMNS / 64;
const ROUND_OPS: usize = 4 * 2 * 64 * 64 * COLUMNS;
const WARPGROUP_ROUNDS: usize = 256;

/// How long each probe repeats what it times, and launches between two marks.
const PROBE_TIME: Duration = Duration::from_millis(200);
const LAUNCHES: usize = 4;

/// The limits of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes that can be read, in 10⁹ a second.
    pub read_gb_s: f64,
    /// Multiplications and additions of 16-bit floats, in 10⁹ a second.
    pub product_gflop_s: f64,
    /// What they were multiplied with.
    pub instruction: &'static str,
}

impl Limits {
    /// Measures them, in a second.
    ///
    /// # Errors
    /// Where little memory is free, and of the driver.
    pub fn probe(device: &Device) -> Result<Self, CudaError> {
        let (product_gflop_s, instruction) = match device.properties().compute_capability {
            // No other devices have them.
            (9, 0) => (warpgroups(device)?, "wgmma of bfloat16"),
            (..=7, _) => (products(device)?, "mma.sync of half precision"),
            _ => (products(device)?, "mma.sync of bfloat16"),
        };
        Ok(Self {
            read_gb_s: read(device)?,
            product_gflop_s,
            instruction,
        })
    }
}

fn read(device: &Device) -> Result<f64, CudaError> {
    let len = READ.min(device.free_memory()? / 2) & !(NOISE - 1);
    // Asking for what is not there says so in the words of every other allocation.
    let memory = noise(device, len.max(LEAST_READ))?;
    let sum = device.alloc(size_of::<u32>())?;
    device.clear(&sum, 0, size_of::<u32>())?;
    let seconds = fastest(device, || launch_read(device, &memory, &sum))?;
    Ok(memory.len() as f64 / seconds / 1e9)
}

/// Memory that holds the same [`NOISE`] again and again.
fn noise(device: &Device, len: usize) -> Result<Memory, CudaError> {
    let memory = device.alloc(len)?;
    let mut done = NOISE.min(len);
    device.upload(&random(done / 4), &memory, 0)?;
    while done < len {
        let n = done.min(len - done);
        device.copy((&memory, 0), (&memory, done), n)?;
        done += n;
    }
    Ok(memory)
}

/// Words by chance, as bytes (Knuth's linear congruences, of which the upper half is good).
fn random(n_words: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = (0..n_words).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    });
    words.flat_map(u32::to_ne_bytes).collect()
}

/// Adds all words of the memory to the one in `sum`.
fn launch_read(device: &Device, memory: &Memory, sum: &Memory) -> Result<(), CudaError> {
    let n_blocks = READ_BLOCKS * device.properties().n_multiprocessors;
    let launch = Launch {
        grid: [count(n_blocks), 1, 1],
        block: [count(THREADS), 1, 1],
        shared: 0,
    };
    let n = count(memory.len() / 16);
    let args = [Arg::Memory(memory, 0), Arg::U32(n), Arg::Memory(sum, 0)];
    // SAFETY: so many sixteens of bytes are in the memory, and a word is in `sum`.
    unsafe { device.launch("probe_read", launch, &args) }
}

fn products(device: &Device) -> Result<f64, CudaError> {
    let operands = operands(device, LANES * (LEFT_WORDS + RIGHT_WORDS * PRODUCTS))?;
    let n_threads = THREADS * PRODUCT_BLOCKS * device.properties().n_multiprocessors;
    let out = device.alloc(n_threads * size_of::<f32>())?;
    let seconds = fastest(device, || launch_products(device, &operands, ROUNDS, &out))?;
    let n_products = n_threads / LANES * ROUNDS * PRODUCTS;
    Ok((n_products * 2 * 16 * 8 * 16) as f64 / seconds / 1e9)
}

/// Numbers of both signs between 1 and 2 in size, in bfloat16 and in half precision: with zeros a device
/// would take less power, and be faster than with any model.
fn operands(device: &Device, n_words: usize) -> Result<Memory, CudaError> {
    let noise = random(n_words);
    let words = noise.as_chunks().0.iter();
    let words = words.map(|&word| (u32::from_ne_bytes(word) & 0x807f_807f) | 0x3f80_3f80);
    on_device(
        device,
        &words.flat_map(u32::to_ne_bytes).collect::<Vec<u8>>(),
    )
}

fn on_device(device: &Device, bytes: &[u8]) -> Result<Memory, CudaError> {
    let memory = device.alloc(bytes.len())?;
    device.upload(bytes, &memory, 0)?;
    Ok(memory)
}

/// Multiplies `n_rounds` times, in as many threads as `out` has numbers.
fn launch_products(
    device: &Device,
    operands: &Memory,
    n_rounds: usize,
    out: &Memory,
) -> Result<(), CudaError> {
    let n_words = LANES * (LEFT_WORDS + RIGHT_WORDS * PRODUCTS);
    assert_eq!(operands.len(), n_words * size_of::<u32>(), "operands");
    let launch = Launch {
        grid: [count(out.len() / size_of::<f32>() / THREADS), 1, 1],
        block: [count(THREADS), 1, 1],
        shared: 0,
    };
    let args = [
        Arg::Memory(operands, 0),
        Arg::U32(count(n_rounds)),
        Arg::Memory(out, 0),
    ];
    // SAFETY: all words of the operands are there, and a number for each thread.
    unsafe { device.launch("probe_products", launch, &args) }
}

fn warpgroups(device: &Device) -> Result<f64, CudaError> {
    let tiles = operands(device, TILES * TILE_BYTES / size_of::<u32>())?;
    let n_blocks = device.properties().n_multiprocessors;
    let out = device.alloc(n_blocks * THREADS * size_of::<f32>())?;
    let launch = || launch_warpgroups(device, &tiles, WARPGROUP_ROUNDS, &out);
    let seconds = fastest(device, launch)?;
    let n_ops = n_blocks * WARPGROUPS * WARPGROUP_ROUNDS * ROUND_OPS;
    Ok(n_ops as f64 / seconds / 1e9)
}

/// Multiplies `n_rounds` times, in as many threads as `out` has numbers.
fn launch_warpgroups(
    device: &Device,
    tiles: &Memory,
    n_rounds: usize,
    out: &Memory,
) -> Result<(), CudaError> {
    assert_eq!(tiles.len(), TILES * TILE_BYTES, "tiles");
    const { assert!(THREADS == WARPGROUPS * 128, "threads of a block") };
    let launch = Launch {
        grid: [count(out.len() / size_of::<f32>() / THREADS), 1, 1],
        block: [count(THREADS), 1, 1],
        // They begin at a multiple of 1024 bytes.
        shared: count(TILES * TILE_BYTES + 1024),
    };
    let args = [
        Arg::Memory(tiles, 0),
        Arg::U32(count(n_rounds)),
        Arg::Memory(out, 0),
    ];
    // SAFETY: all tiles are there, and a number for each thread.
    unsafe { device.launch("probe_warpgroups", launch, &args) }
}

/// The least seconds that a launch takes.
fn fastest(device: &Device, launch: impl Fn() -> Result<(), CudaError>) -> Result<f64, CudaError> {
    // The first one finds caches and clocks as they were.
    launch()?;
    let (began, mut best) = (Instant::now(), f64::INFINITY);
    while best.is_infinite() || began.elapsed() < PROBE_TIME {
        let from = device.mark()?;
        (0..LAUNCHES).try_for_each(|_| launch())?;
        let milliseconds = device.mark()?.milliseconds_since(&from)?;
        best = best.min(milliseconds / 1e3 / LAUNCHES as f64);
    }
    Ok(best)
}

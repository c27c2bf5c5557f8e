//! What happens to activations between the products: norms, sums, caps, chosen rows.
//!
//! Everything is `[n_rows, width]` of float32, row by row.

#[cfg(all(test, feature = "emulated"))]
mod tests;

use crate::view::{check_len, count};
use crate::{Arg, CudaError, Device, Launch, Memory, StepBounds, StepTables};

/// Threads of a block that has a row.
const ROW_THREADS: u32 = 256;
/// Threads of a block that has a stretch of numbers.
const THREADS: usize = 128;

/// What happens to numbers that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Others take their place.
    Replace,
    /// Others are added.
    Add,
}

/// Threads that have four of `n` numbers each.
fn by_fours(n: usize) -> Launch {
    Launch {
        grid: [count(n.div_ceil(4 * THREADS)), 1, 1],
        block: [count(THREADS), 1, 1],
        shared: 0,
    }
}

/// `x / sqrt(mean(x²) + eps) * (weight + offset)`, row by row, goes to `out`, which may be `x`.
///
/// # Errors
/// Of the driver.
///
/// # Panics
/// If a memory is too small.
pub fn rms_norm(
    device: &Device,
    x: &Memory,
    weight: &Memory,
    (eps, offset): (f32, f32),
    (n_rows, width): (usize, usize),
    (out, store): (&Memory, Store),
) -> Result<(), CudaError> {
    check_len(x, n_rows * width, "rows to normalize");
    check_len(weight, width, "weights of a norm");
    check_len(out, n_rows * width, "normalized rows");
    if n_rows * width == 0 {
        return Ok(());
    }
    let launch = Launch {
        grid: [count(n_rows), 1, 1],
        block: [ROW_THREADS, 1, 1],
        shared: 0,
    };
    let args = [
        Arg::Memory(x, 0),
        Arg::Memory(weight, 0),
        Arg::Memory(out, 0),
        Arg::U32(count(width)),
        Arg::F32(eps),
        Arg::F32(offset),
        Arg::U32((store == Store::Add).into()),
    ];
    // SAFETY: a block for each row, which are there, as are the weights.
    unsafe { device.launch("rms_norm", launch, &args) }
}

/// `sum += x`, for `n` numbers.
///
/// # Errors
/// Of the driver.
///
/// # Panics
/// If a memory is too small.
pub fn add(device: &Device, sum: &Memory, x: &Memory, n: usize) -> Result<(), CudaError> {
    check_len(sum, n, "sums");
    check_len(x, n, "numbers to add");
    if n == 0 {
        return Ok(());
    }
    let args = [Arg::Memory(sum, 0), Arg::Memory(x, 0), Arg::U32(count(n))];
    // SAFETY: `n` numbers are in both.
    unsafe { device.launch("add", by_fours(n), &args) }
}

/// `gates = activation(gates) * up`, for `n` numbers; the activation by its number.
///
/// # Errors
/// Of the driver.
///
/// # Panics
/// If a memory is too small.
pub(crate) fn gate(
    device: &Device,
    gates: &Memory,
    up: &Memory,
    activation: u32,
    n: usize,
) -> Result<(), CudaError> {
    check_len(gates, n, "gates");
    check_len(up, n, "what is gated");
    let args = [
        Arg::Memory(gates, 0),
        Arg::Memory(up, 0),
        Arg::U32(activation),
        Arg::U32(count(n)),
    ];
    // SAFETY: the arguments are those of the kernel; `n` numbers are in both.
    unsafe { device.launch("gate", by_fours(n), &args) }
}

/// `out[i] = x[rows[i]]`, for the first `n` rows that a step has chosen.
///
/// # Errors
/// Of the driver.
///
/// # Panics
/// If a memory is too small for the rows of `bounds`, or the step has not so many.
pub fn select(
    device: &Device,
    x: &Memory,
    (tables, bounds): (&StepTables, &StepBounds),
    (n, width): (usize, usize),
    out: &Memory,
) -> Result<(), CudaError> {
    tables.check(bounds);
    assert!(n <= bounds.n_rows, "{n} rows chosen of {}", bounds.n_rows);
    check_len(x, bounds.n_rows * width, "rows to choose from");
    check_len(out, n * width, "chosen rows");
    if n * width == 0 {
        return Ok(());
    }
    let launch = Launch {
        grid: [count(n), 1, 1],
        block: [ROW_THREADS, 1, 1],
        shared: 0,
    };
    let args = [
        Arg::Memory(x, 0),
        tables.chosen(),
        Arg::Memory(out, 0),
        Arg::U32(count(width)),
    ];
    // SAFETY: a block for each number of a row; the tables name none that the step has not.
    unsafe { device.launch("select_rows", launch, &args) }
}

/// `x = cap * tanh(x / cap)`, for `n` numbers: keeps logits between `-cap` and `cap`.
///
/// # Errors
/// Of the driver.
///
/// # Panics
/// If memory is too small.
pub fn softcap(device: &Device, x: &Memory, n: usize, cap: f32) -> Result<(), CudaError> {
    check_len(x, n, "numbers to cap");
    if n == 0 {
        return Ok(());
    }
    let launch = Launch {
        grid: [count(n.div_ceil(THREADS)), 1, 1],
        block: [count(THREADS), 1, 1],
        shared: 0,
    };
    let args = [Arg::Memory(x, 0), Arg::U32(count(n)), Arg::F32(cap)];
    // SAFETY: `n` numbers are there.
    unsafe { device.launch("softcap", launch, &args) }
}

//! What the benchmarks share.

#![allow(dead_code, reason = "each benchmark uses a part of this")]

use candle_core::{DType, Device, Shape, Tensor};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

/// Numbers between -1 and 1 without a pattern.
pub(crate) fn numbers(n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// The same as one of candle's tensors.
pub(crate) fn tensor(shape: impl Into<Shape>, dtype: DType) -> Tensor {
    let shape = shape.into();
    let numbers = Tensor::from_vec(numbers(shape.elem_count()), shape, &Device::Cpu);
    let numbers = numbers.and_then(|numbers| numbers.to_dtype(dtype));
    numbers.expect("numbers that fit")
}

/// Runs candle's operations on one thread, as the kernels beside them.
pub(crate) fn candle(
    bencher: Bencher<'_, '_>,
    mut run: impl FnMut() -> candle_core::Result<Tensor> + Send,
) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.expect("a thread");
    bencher.bench_local(|| pool.install(&mut run).expect("shapes that fit"));
}

/// Reports values a second, and bytes that are read and written.
pub(crate) fn counted<'a, 'b>(
    bencher: Bencher<'a, 'b>,
    n_values: usize,
    n_bytes: usize,
) -> Bencher<'a, 'b> {
    let values = ItemsCount::new(n_values);
    bencher.counter(values).counter(BytesCount::new(n_bytes))
}

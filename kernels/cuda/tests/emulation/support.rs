//! Memory of numbers, and launches of test kernels.

use ponder_kernels_cuda::{Arg, CudaError, Device, Launch, Memory};

pub(crate) fn launch(n_blocks: u32, n_threads: u32) -> Launch {
    Launch {
        grid: [n_blocks, 1, 1],
        block: [n_threads, 1, 1],
        shared: 0,
    }
}

/// Runs a kernel of `cu/test`.
pub(crate) fn try_run(
    device: &Device,
    kernel: &'static str,
    launch: Launch,
    args: &[Arg<'_>],
) -> Result<(), CudaError> {
    // SAFETY: test kernels access what their tests give them; those that do not are caught.
    unsafe { device.launch(kernel, launch, args) }
}

pub(crate) fn run(device: &Device, kernel: &'static str, launch: Launch, args: &[Arg<'_>]) {
    try_run(device, kernel, launch, args).expect("the kernel runs");
}

pub(crate) fn words(device: &Device, values: &[u32]) -> Memory {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    bytes_of(device, &bytes)
}

pub(crate) fn floats(device: &Device, values: &[f32]) -> Memory {
    let bits: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
    words(device, &bits)
}

pub(crate) fn halves(device: &Device, values: &[u16]) -> Memory {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_ne_bytes())
        .collect();
    bytes_of(device, &bytes)
}

fn bytes_of(device: &Device, bytes: &[u8]) -> Memory {
    let memory = device.alloc(bytes.len()).expect("there is room");
    device.upload(bytes, &memory, 0).expect("an upload");
    memory
}

pub(crate) fn read_words(memory: &Memory, device: &Device) -> Vec<u32> {
    let mut bytes = vec![0; memory.len()];
    device.download(memory, 0, &mut bytes).expect("a download");
    let words = bytes.as_chunks::<4>().0;
    words.iter().map(|&word| u32::from_ne_bytes(word)).collect()
}

pub(crate) fn read_floats(memory: &Memory, device: &Device) -> Vec<f32> {
    let words = read_words(memory, device);
    words.into_iter().map(f32::from_bits).collect()
}

pub(crate) fn read_halves(memory: &Memory, device: &Device) -> Vec<u16> {
    let words = read_words(memory, device);
    words
        .iter()
        .flat_map(|&word| [word as u16, (word >> 16) as u16])
        .collect()
}

/// Numbers that look as if by chance.
pub(crate) fn random(n: usize) -> Vec<f32> {
    let mut state = 7_u32;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
    .take(n)
    .collect()
}

/// What a panic says.
pub(crate) fn message_of(run: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let panic = panic.expect_err("it must not run");
    *panic.downcast::<String>().expect("a panic with a text")
}

pub(crate) fn widen_f16(values: &[u16]) -> Vec<f32> {
    widen(values, ponder_kernels_cpu::f16_to_f32)
}

pub(crate) fn widen_bf16(values: &[u16]) -> Vec<f32> {
    widen(values, ponder_kernels_cpu::bf16_to_f32)
}

pub(crate) fn narrow_f16(values: &[f32]) -> Vec<u16> {
    narrow(values, ponder_kernels_cpu::f32_to_f16)
}

pub(crate) fn narrow_bf16(values: &[f32]) -> Vec<u16> {
    narrow(values, ponder_kernels_cpu::f32_to_bf16)
}

fn widen(values: &[u16], convert: fn(&[u8], &mut [f32])) -> Vec<f32> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let mut out = vec![0.0; values.len()];
    convert(&bytes, &mut out);
    out
}

fn narrow(values: &[f32], convert: fn(&[f32], &mut [u8])) -> Vec<u16> {
    let mut bytes = vec![0; 2 * values.len()];
    convert(values, &mut bytes);
    let halves = bytes.as_chunks::<2>().0;
    halves
        .iter()
        .map(|&half| u16::from_le_bytes(half))
        .collect()
}

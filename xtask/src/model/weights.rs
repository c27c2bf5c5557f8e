//! Noise as a file of safetensors, in bfloat16.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;

use anyhow::Result;
use serde_json::{Map, json};

use super::shape::Tensor;

/// Bytes that are made at a time, and those that a thread makes of one seed.
const BUFFER: usize = 64 << 20;
const PART: usize = 1 << 20;

/// 1 in bfloat16.
const ONE: u16 = 0x3f80;

/// Writes the tensors; returns their bytes.
pub(super) fn write(path: &Path, tensors: &[Tensor]) -> Result<usize> {
    let (mut header, mut end) = (Map::new(), 0);
    for tensor in tensors {
        let begin = end;
        end += n_bytes(tensor);
        let entry = json!({"dtype": "BF16", "shape": tensor.shape, "data_offsets": [begin, end]});
        header.insert(tensor.name.clone(), entry);
    }
    let mut header = serde_json::to_string(&header)?;
    // Numbers begin at a multiple of eight bytes.
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));

    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    let mut buffer = Vec::new();
    let mut seed = 0;
    for tensor in tensors {
        let mut left = n_bytes(tensor);
        while left > 0 {
            buffer.resize(left.min(BUFFER), 0);
            match tensor.shape[..] {
                [_, n_inputs] => noise(seed, 1.0 / (n_inputs as f32).sqrt(), &mut buffer),
                _ => buffer
                    .chunks_mut(2)
                    .for_each(|one| one.copy_from_slice(&ONE.to_le_bytes())),
            }
            file.write_all(&buffer)?;
            left -= buffer.len();
            seed += (BUFFER / PART) as u64;
        }
    }
    file.flush()?;
    Ok(end)
}

fn n_bytes(tensor: &Tensor) -> usize {
    2 * tensor.shape.iter().product::<usize>()
}

/// Fills a buffer, all of the machine's threads at it, with numbers of this deviation.
fn noise(seed: u64, deviation: f32, buffer: &mut [u8]) {
    let n_threads = thread::available_parallelism().map_or(1, usize::from);
    let mut parts: Vec<_> = (seed..).zip(buffer.chunks_mut(PART)).collect();
    let n_each = parts.len().div_ceil(n_threads);
    thread::scope(|scope| {
        for parts in parts.chunks_mut(n_each) {
            scope.spawn(move || {
                for (seed, part) in parts {
                    fill(*seed, deviation, part);
                }
            });
        }
    });
}

/// Each number is the sum of four bytes by chance: nearly a normal distribution, as weights have.
fn fill(seed: u64, deviation: f32, part: &mut [u8]) {
    // The sum of four numbers between -128 and 127 has this one.
    let scale = deviation / (4.0_f32 * 256.0 * 256.0 / 12.0).sqrt();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for two in part.chunks_mut(4) {
        let bytes = next(&mut state).to_le_bytes();
        let halves = bytes.chunks(4).flat_map(|four| {
            let sum: f32 = four
                .iter()
                .map(|&byte| f32::from(byte.cast_signed()) + 0.5)
                .sum();
            ((scale * sum).to_bits() >> 16)
                .to_le_bytes()
                .into_iter()
                .take(2)
        });
        two.iter_mut().zip(halves).for_each(|(to, from)| *to = from);
    }
}

/// Steele et al. 2014, SplitMix.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

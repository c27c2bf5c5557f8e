//! Every encoding, odd shapes: against dequantized weights in float64.

mod contest;
mod experts;
mod fp8;
mod fused;
mod gated;
mod half;
mod hopper;
mod mxfp4;
mod normed;
mod products;
mod rounding;
mod table;

use ponder_kernels_cpu::{BlockFormat, bf16_to_f32, dequantize, f16_to_f32, f32_from_le_bytes};
use ponder_kernels_cpu::{f32_to_bf16, f32_to_f16};

use super::chip::Chip;
use super::*;
use crate::{Device, Precision};

/// A small generator (Knuth's MMIX constants).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u32 << 30) as f32 - 1.0
    }
}

fn chip(n_multiprocessors: usize) -> Chip {
    Chip {
        n_multiprocessors,
        has_bf16: true,
        has_fp8: false,
        has_mx: false,
        has_warpgroups: false,
        shared_memory: 99 << 10,
    }
}

/// One of compute capability 9.0, whose blocks have as little shared memory as others.
fn hopper(n_multiprocessors: usize) -> Chip {
    Chip {
        has_warpgroups: true,
        ..chip(n_multiprocessors)
    }
}

/// Encodings with kernels of their own.
fn encodings() -> impl Iterator<Item = Encoding> {
    let formats = BlockFormat::ALL.into_iter();
    let formats = formats.filter(|&format| planes::Planes::of(format).is_some());
    let floats = [Encoding::F32, Encoding::F16, Encoding::BF16, Encoding::Fp8];
    floats.into_iter().chain(formats.map(Encoding::Block))
}

/// Values of a row that are as few as the encoding allows.
fn least_len(encoding: Encoding) -> usize {
    match encoding {
        Encoding::Block(format) => format.block_len(),
        Encoding::F32 | Encoding::F16 | Encoding::BF16 => 8,
        Encoding::Fp8 => 16,
    }
}

/// Random weights as a file has them.
fn random_bytes(encoding: Encoding, n: usize, random: &mut Random) -> Vec<u8> {
    let mut floats = || (0..n).map(|_| random.unit() * 0.5).collect::<Vec<f32>>();
    let mut halves = vec![0; n * 2];
    match encoding {
        Encoding::F32 => floats().into_iter().flat_map(f32::to_le_bytes).collect(),
        Encoding::F16 => {
            f32_to_f16(&floats(), &mut halves);
            halves
        }
        Encoding::BF16 => {
            f32_to_bf16(&floats(), &mut halves);
            halves
        }
        Encoding::Fp8 => unreachable!("its scales are no part of the bytes"),
        Encoding::Block(format) => {
            let n_bytes = n / format.block_len() * format.block_bytes();
            let mut bytes: Vec<u8> = (0..n_bytes).map(|_| random.next() as u8).collect();
            make_scales_ordinary(format, &mut bytes);
            bytes
        }
    }
}

/// Keeps every half below 2, every exponent near that of 1.
fn make_scales_ordinary(format: BlockFormat, bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        let halves: &[usize] = match format {
            BlockFormat::Q4_1 | BlockFormat::Q5_1 | BlockFormat::Q4K | BlockFormat::Q5K => &[0, 2],
            BlockFormat::Q2K => &[80, 82],
            BlockFormat::Q3K => &[108],
            BlockFormat::Q6K => &[208],
            BlockFormat::MXFP4 => {
                block[0] = 120 + block[0] % 8;
                &[]
            }
            BlockFormat::NVFP4 => {
                block[..4].iter_mut().for_each(|scale| *scale &= 0x3f);
                &[]
            }
            _ => &[0],
        };
        halves.iter().for_each(|&at| block[at + 1] &= 0xbf);
    }
}

/// The values of what a file has.
fn widen(encoding: Encoding, bytes: &[u8], n: usize) -> Vec<f32> {
    let mut values = vec![f32::NAN; n];
    match encoding {
        Encoding::F32 => f32_from_le_bytes(bytes, &mut values),
        Encoding::F16 => f16_to_f32(bytes, &mut values),
        Encoding::BF16 => bf16_to_f32(bytes, &mut values),
        Encoding::Fp8 => unreachable!("its scales are no part of the bytes"),
        Encoding::Block(format) => dequantize(format, bytes, &mut values),
    }
    values
}

/// Weights on the device, and their values.
struct Weights {
    matrix: Matrix,
    values: Vec<f32>,
}

fn weights(device: &Device, encoding: Encoding, shape: [usize; 2], random: &mut Random) -> Weights {
    if encoding == Encoding::Fp8 {
        return fp8::random_weights(device, shape, random);
    }
    let n = shape[0] * shape[1];
    let bytes = random_bytes(encoding, n, random);
    Weights {
        matrix: Matrix::upload(device, encoding, &bytes, shape).expect("memory"),
        values: widen(encoding, &bytes, n),
    }
}

/// Activations, some of which outweigh their rows.
fn activations(n: usize, random: &mut Random) -> Vec<f32> {
    let mut x: Vec<f32> = (0..n).map(|_| random.unit() * 3.0).collect();
    x.iter_mut().step_by(397).for_each(|x| *x *= 1000.0);
    x
}

fn floats(device: &Device, values: &[f32]) -> crate::Memory {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let memory = device.alloc(bytes.len().max(4)).expect("memory");
    device.upload(&bytes, &memory, 0).expect("a copy");
    memory
}

fn rows(device: &Device, values: &[f32], width: usize) -> Rows {
    let mut rows = Rows::new(device, 1, width).expect("memory");
    rows.reset(values.len() / width, width).expect("memory");
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    device.upload(&bytes, rows.change(), 0).expect("a copy");
    rows
}

fn read(device: &Device, rows: &Rows) -> Vec<f32> {
    let n = rows.n_rows() * rows.width();
    let mut bytes = vec![0; n * 4];
    device
        .download(rows.values(), 0, &mut bytes)
        .expect("a copy");
    let mut values = vec![0.0; n];
    f32_from_le_bytes(&bytes, &mut values);
    values
}

fn to_bf16(values: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0; values.len() * 2];
    f32_to_bf16(values, &mut bytes);
    let mut rounded = vec![0.0; values.len()];
    bf16_to_f32(&bytes, &mut rounded);
    rounded
}

/// The activations as they were rounded to eight bits.
fn from_int8(device: &Device, x: &mut Rows) -> Vec<f32> {
    let n = x.n_rows() * x.width();
    let int8 = x.int8().expect("rounded");
    let get = |memory: &crate::Memory, len: usize| {
        let mut bytes = vec![0; len];
        device.download(memory, 0, &mut bytes).expect("a copy");
        bytes
    };
    let values = |codes: &[u8], meta: &[u8], unit: usize| {
        let meta: [u8; 8] = *meta[unit * 8..].first_chunk().expect("a unit");
        let [a, b, c, d, sums @ ..] = meta;
        let scale = f32::from_le_bytes([a, b, c, d]);
        let codes: Vec<i8> = codes[unit * UNIT..][..UNIT]
            .iter()
            .map(|&code| code as i8)
            .collect();
        for half in 0..2 {
            let sum: i16 = codes[16 * half..][..16]
                .iter()
                .map(|&code| i16::from(code))
                .sum();
            assert_eq!(
                sum.to_le_bytes(),
                sums[2 * half..][..2],
                "the sum of the codes"
            );
        }
        let values: Vec<f32> = codes
            .iter()
            .map(|&code| f32::from(code) * scale.abs())
            .collect();
        (values, scale.is_sign_negative())
    };
    let (codes, meta) = (get(&int8.codes, n), get(&int8.meta, n / UNIT * 8));
    let (again_codes, again_meta) = (
        get(&int8.again_codes, n),
        get(&int8.again_meta, n / UNIT * 8),
    );
    let mut all = Vec::new();
    for unit in 0..n / UNIT {
        let (mut once, is_twice) = values(&codes, &meta, unit);
        if is_twice {
            let (again, _) = values(&again_codes, &again_meta, unit);
            once.iter_mut()
                .zip(again)
                .for_each(|(once, again)| *once += again);
        }
        all.extend(once);
    }
    all
}

/// What a kernel is given: activations, and weights in float32.
struct Seen {
    x: Vec<f32>,
    weights: Vec<f32>,
}

/// What the kernel for a product saw, as the table in `mod.rs` says.
fn seen(
    device: &Device,
    precision: Precision,
    x: &mut Rows,
    encoding: Encoding,
    weights: &[f32],
) -> Seen {
    let plain = read(device, x);
    let is_block = matches!(encoding, Encoding::Block(_));
    if fp8::is_seen(encoding, x) {
        return Seen {
            x: fp8::from_fp8(device, x),
            weights: weights.to_vec(),
        };
    }
    match (precision, encoding) {
        (Precision::Fast, Encoding::Block(_)) if x.n_rows() <= 8 => Seen {
            x: from_int8(device, x),
            weights: weights.to_vec(),
        },
        (Precision::Fast, Encoding::Block(_) | Encoding::F16 | Encoding::BF16 | Encoding::Fp8)
            if x.n_rows() > 8 =>
        {
            Seen {
                x: to_bf16(&plain),
                weights: if is_block {
                    to_bf16(weights)
                } else {
                    weights.to_vec()
                },
            }
        }
        _ => Seen {
            x: plain,
            weights: weights.to_vec(),
        },
    }
}

/// The product of a row of weights and one of activations, and the sum of its terms' sizes.
fn product(weights: &[f32], x: &[f32]) -> (f64, f64) {
    let terms = weights
        .iter()
        .zip(x)
        .map(|(&w, &x)| f64::from(w) * f64::from(x));
    terms.fold((0.0, 0.0), |(sum, size), term| {
        (sum + term, size + term.abs())
    })
}

/// Rounding of float32, relative to the terms of a sum.
const TOLERANCE: f64 = 1e-5;

fn check(what: &str, got: f32, expected: f64, size: f64) {
    let error = (f64::from(got) - expected).abs();
    assert!(
        error <= TOLERANCE * size + 1e-30,
        "{what}: {got}, expected {expected}, off by {:e} of {size}",
        error / size
    );
}

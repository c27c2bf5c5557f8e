//! The numbers of tensor types in GGUF files (ggml's `ggml_type`).

use ponder_kernels_cpu::BlockFormat;

use crate::weights::tensor::TensorType;

/// The type behind a number. The error says what the number is known to mean.
pub(super) fn tensor_type(number: u32) -> Result<TensorType, &'static str> {
    let block = match number {
        0 => return Ok(TensorType::F32),
        1 => return Ok(TensorType::F16),
        2 => BlockFormat::Q4_0,
        3 => BlockFormat::Q4_1,
        6 => BlockFormat::Q5_0,
        7 => BlockFormat::Q5_1,
        8 => BlockFormat::Q8_0,
        10 => BlockFormat::Q2K,
        11 => BlockFormat::Q3K,
        12 => BlockFormat::Q4K,
        13 => BlockFormat::Q5K,
        14 => BlockFormat::Q6K,
        16 => BlockFormat::IQ2XXS,
        17 => BlockFormat::IQ2XS,
        18 => BlockFormat::IQ3XXS,
        19 => BlockFormat::IQ1S,
        20 => BlockFormat::IQ4NL,
        21 => BlockFormat::IQ3S,
        22 => BlockFormat::IQ2S,
        23 => BlockFormat::IQ4XS,
        24 => return Ok(TensorType::I8),
        25 => return Ok(TensorType::I16),
        26 => return Ok(TensorType::I32),
        27 => return Ok(TensorType::I64),
        28 => return Ok(TensorType::F64),
        29 => BlockFormat::IQ1M,
        30 => return Ok(TensorType::BF16),
        34 => BlockFormat::TQ1_0,
        35 => BlockFormat::TQ2_0,
        39 => BlockFormat::MXFP4,
        40 => BlockFormat::NVFP4,
        4 | 5 => return Err("Q4_2 or Q4_3, which the format dropped"),
        9 | 15 => return Err("Q8_1 or Q8_K, which are meant for activations"),
        31..=33 | 36..=38 => return Err("a repacked Q4_0 or IQ4_NL, which the format dropped"),
        41 => return Err("Q1_0"),
        _ => return Err("no type of that number known"),
    };
    Ok(TensorType::Block(block))
}

/// The number of a type; `None` for types that the format lacks.
pub(super) fn type_number(ty: TensorType) -> Option<u32> {
    const LARGEST: u32 = 40;
    (0..=LARGEST).find(|&number| tensor_type(number) == Ok(ty))
}

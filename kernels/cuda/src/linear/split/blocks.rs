//! What the blocks of each format hold; `kernels/cpu/src/scalar` describes them byte by byte.

use super::{Blocks, Codes, Packing};

#[inline(always)]
fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(block, at))
}

#[inline(always)]
fn bytes<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    *block[at..].first_chunk().expect("a whole block")
}

/// Two bytes, as the first of four.
#[inline(always)]
fn two(block: &[u8], at: usize) -> [u8; 4] {
    [block[at], block[at + 1], 0, 0]
}

/// Sixteen bytes whose low nibbles are the first half of a unit.
#[inline(always)]
fn nibbles(block: &[u8], at: usize) -> Codes {
    std::array::from_fn(|k| (word(block, at + k % 4 * 4) >> (k / 4 * 4)) & 0x0f0f_0f0f)
}

/// 32 bytes, of which some bits are a unit.
#[inline(always)]
fn planar(block: &[u8], at: usize, shift: usize, mask: u32) -> Codes {
    std::array::from_fn(|k| (word(block, at + 4 * k) >> shift) & mask)
}

/// Puts `upper` above the `n` bits of `lower`.
#[inline(always)]
fn above(lower: Codes, upper: Codes, n: usize) -> Codes {
    std::array::from_fn(|k| lower[k] | (upper[k] << n))
}

/// 32 bits, one for each value.
#[inline(always)]
fn single_bits(bits: u32) -> Codes {
    // The multiplication puts bit i of four into byte i.
    std::array::from_fn(|k| (((bits >> (4 * k)) & 0x0f) * 0x0020_4081) & 0x0101_0101)
}

const NIBBLE: u32 = 0x0f0f_0f0f;
const PAIR: u32 = 0x0303_0303;
const BIT: u32 = 0x0101_0101;

/// Declares a format of 32 values, whose scales are its first bytes.
macro_rules! legacy {
    ($name:ident, $packing:ident, $scales:expr, $codes:expr) => {
        #[allow(non_camel_case_types)] // The names are those of the formats.
        pub(super) enum $name {}

        impl Blocks for $name {
            const PACKING: Packing = Packing::$packing;

            #[inline(always)]
            fn codes(block: &[u8], _: usize) -> Codes {
                let codes: fn(&[u8]) -> Codes = $codes;
                codes(block)
            }

            #[inline(always)]
            fn unit_scales(block: &[u8], _: usize) -> [u8; 4] {
                let scales: fn(&[u8]) -> [u8; 4] = $scales;
                scales(block)
            }
        }
    };
}

legacy!(Q4_0, Nibbles, |b| two(b, 0), |b| nibbles(b, 2));
legacy!(Q4_1, Nibbles, |b| bytes(b, 0), |b| nibbles(b, 4));
legacy!(Q5_0, NibblesAndBits, |b| two(b, 0), |b| above(
    nibbles(b, 6),
    single_bits(word(b, 2)),
    4
));
legacy!(Q5_1, NibblesAndBits, |b| bytes(b, 0), |b| above(
    nibbles(b, 8),
    single_bits(word(b, 4)),
    4
));
legacy!(Q8_0, Bytes, |b| two(b, 0), |b| planar(b, 2, 0, u32::MAX));
legacy!(IQ4NL, Places, |b| two(b, 0), |b| nibbles(b, 2));
legacy!(MXFP4, Places, |b| [b[0], 0, 0, 0], |b| nibbles(b, 1));

pub(super) enum Q2K {}

impl Blocks for Q2K {
    const PACKING: Packing = Packing::Pairs;

    #[inline(always)]
    fn codes(block: &[u8], unit: usize) -> Codes {
        planar(block, 16 + unit / 4 * 32, unit % 4 * 2, PAIR)
    }

    #[inline(always)]
    fn unit_scales(block: &[u8], unit: usize) -> [u8; 4] {
        two(block, 2 * unit)
    }

    #[inline(always)]
    fn block_scales(block: &[u8]) -> [u8; 4] {
        bytes(block, 80)
    }
}

pub(super) enum Q3K {}

impl Blocks for Q3K {
    const PACKING: Packing = Packing::PairsAndBits;

    #[inline(always)]
    fn codes(block: &[u8], unit: usize) -> Codes {
        let lower = planar(block, 32 + unit / 4 * 32, unit % 4 * 2, PAIR);
        above(lower, planar(block, 0, unit, BIT), 2)
    }

    #[inline(always)]
    fn unit_scales(block: &[u8], unit: usize) -> [u8; 4] {
        // Six bits: byte i of the first eight has the low ones of scales i and i + 8, byte j of the
        // last four the high ones of scales j, j + 4, j + 8 and j + 12.
        let scale = |i: usize| {
            let low = (block[96 + i % 8] >> (i / 8 * 4)) & 0x0f;
            let high = (block[104 + i % 4] >> (i / 4 * 2)) & 3;
            (low | (high << 4)).wrapping_sub(32)
        };
        [scale(2 * unit), scale(2 * unit + 1), 0, 0]
    }

    #[inline(always)]
    fn block_scales(block: &[u8]) -> [u8; 4] {
        two(block, 108)
    }
}

/// Scale and minimum of a unit of Q4_K and Q5_K, six bits each.
#[inline(always)]
fn scale_and_minimum(block: &[u8], unit: usize) -> [u8; 4] {
    let i = 4 + unit % 4;
    let (scale, minimum, both) = (block[i], block[i + 4], block[i + 8]);
    if unit < 4 {
        return [scale & 0x3f, minimum & 0x3f, 0, 0];
    }
    let upper = |byte: u8| (byte >> 2) & 0x30;
    [
        (both & 0x0f) | upper(scale),
        (both >> 4) | upper(minimum),
        0,
        0,
    ]
}

pub(super) enum Q4K {}

impl Blocks for Q4K {
    const PACKING: Packing = Packing::Nibbles;

    #[inline(always)]
    fn codes(block: &[u8], unit: usize) -> Codes {
        planar(block, 16 + unit / 2 * 32, unit % 2 * 4, NIBBLE)
    }

    #[inline(always)]
    fn unit_scales(block: &[u8], unit: usize) -> [u8; 4] {
        scale_and_minimum(block, unit)
    }

    #[inline(always)]
    fn block_scales(block: &[u8]) -> [u8; 4] {
        bytes(block, 0)
    }
}

pub(super) enum Q5K {}

impl Blocks for Q5K {
    const PACKING: Packing = Packing::NibblesAndBits;

    #[inline(always)]
    fn codes(block: &[u8], unit: usize) -> Codes {
        let lower = planar(block, 48 + unit / 2 * 32, unit % 2 * 4, NIBBLE);
        above(lower, planar(block, 16, unit, BIT), 4)
    }

    #[inline(always)]
    fn unit_scales(block: &[u8], unit: usize) -> [u8; 4] {
        scale_and_minimum(block, unit)
    }

    #[inline(always)]
    fn block_scales(block: &[u8]) -> [u8; 4] {
        bytes(block, 0)
    }
}

pub(super) enum Q6K {}

impl Blocks for Q6K {
    const PACKING: Packing = Packing::NibblesAndPairs;

    #[inline(always)]
    fn codes(block: &[u8], unit: usize) -> Codes {
        let (half, quarter) = (unit / 4, unit % 4);
        let lower = planar(block, 64 * half + quarter % 2 * 32, quarter / 2 * 4, NIBBLE);
        above(lower, planar(block, 128 + 32 * half, quarter * 2, PAIR), 4)
    }

    #[inline(always)]
    fn unit_scales(block: &[u8], unit: usize) -> [u8; 4] {
        two(block, 192 + 2 * unit)
    }

    #[inline(always)]
    fn block_scales(block: &[u8]) -> [u8; 4] {
        two(block, 208)
    }
}

pub(super) enum IQ4XS {}

impl Blocks for IQ4XS {
    const PACKING: Packing = Packing::Places;

    #[inline(always)]
    fn codes(block: &[u8], unit: usize) -> Codes {
        nibbles(block, 8 + 16 * unit)
    }

    #[inline(always)]
    fn unit_scales(block: &[u8], unit: usize) -> [u8; 4] {
        let low = (block[4 + unit / 2] >> (unit % 2 * 4)) & 0x0f;
        let high = (block[2 + unit / 4] >> (unit % 4 * 2)) & 3;
        [(low | (high << 4)).wrapping_sub(32), 0, 0, 0]
    }

    #[inline(always)]
    fn block_scales(block: &[u8]) -> [u8; 4] {
        two(block, 0)
    }
}

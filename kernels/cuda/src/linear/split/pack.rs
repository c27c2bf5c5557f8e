//! Codes, packed for kernels.

use super::Codes;

/// How the codes of a unit lie in the two planes of codes.
#[derive(Clone, Copy)]
pub(super) enum Packing {
    /// Four bits.
    Nibbles,
    /// Four bits, and a fifth in the second plane.
    NibblesAndBits,
    /// Four bits, and two more in the second plane.
    NibblesAndPairs,
    /// Two bits.
    Pairs,
    /// Two bits, and a third in the second plane.
    PairsAndBits,
    /// Bytes: half of the values in each plane.
    Bytes,
    /// Four bits, value by value.
    Places,
}

impl Packing {
    /// Packs a unit into its part of each plane.
    #[inline(always)]
    pub(super) fn pack(self, codes: &Codes, first: &mut [u8], second: &mut [u8]) {
        match self {
            Self::Nibbles => put(first, nibbles(codes)),
            Self::NibblesAndBits => {
                put(first, nibbles(codes));
                put(second, bits(codes, 4));
            }
            Self::NibblesAndPairs => {
                put(first, nibbles(codes));
                put(second, pairs(codes, 4));
            }
            Self::Pairs => put(first, pairs(codes, 0)),
            Self::PairsAndBits => {
                put(first, pairs(codes, 0));
                put(second, bits(codes, 2));
            }
            Self::Bytes => {
                put(first, [codes[0], codes[1], codes[2], codes[3]]);
                put(second, [codes[4], codes[5], codes[6], codes[7]]);
            }
            Self::Places => put(first, places(codes)),
        }
    }
}

#[inline(always)]
fn put<const N: usize>(plane: &mut [u8], words: [u32; N]) {
    for (bytes, word) in plane.as_chunks_mut().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

/// Word k of the values in the low halves, word k + 4 in the high ones.
#[inline(always)]
fn nibbles(codes: &Codes) -> [u32; 4] {
    std::array::from_fn(|k| (codes[k] & 0x0f0f_0f0f) | ((codes[k + 4] & 0x0f0f_0f0f) << 4))
}

/// Two bits of each value, from bit `shift` on: every second word of the values.
#[inline(always)]
fn pairs(codes: &Codes, shift: usize) -> [u32; 2] {
    std::array::from_fn(|word| {
        (0..4).fold(0, |packed, i| {
            packed | (((codes[word + 2 * i] >> shift) & 0x0303_0303) << (2 * i))
        })
    })
}

/// One bit of each value.
#[inline(always)]
fn bits(codes: &Codes, shift: usize) -> [u32; 1] {
    [(0..8).fold(0, |packed, k| {
        packed | (((codes[k] >> shift) & 0x0101_0101) << k)
    })]
}

/// Four bits of each value, in order.
#[inline(always)]
fn places(codes: &Codes) -> [u32; 4] {
    let half = |codes: u32| {
        let twos = codes | (codes >> 4);
        (twos & 0xff) | ((twos >> 8) & 0xff00)
    };
    std::array::from_fn(|i| half(codes[2 * i]) | (half(codes[2 * i + 1]) << 16))
}

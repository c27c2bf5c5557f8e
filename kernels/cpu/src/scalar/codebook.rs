//! The code books of the i-quants, unpacked at compile time, and the signs that go with them.

use super::tables;

/// A code word of eight values.
pub(super) type Word8 = [i8; 8];
/// A code word of four values.
pub(super) type Word4 = [i8; 4];

/// The magnitudes that the two-bit indices of the IQ2 types stand for.
const IQ2_VALUES: [i8; 4] = [0x08, 0x19, 0x2b, 0];
/// The magnitudes of IQ3_XXS.
const IQ3_XXS_VALUES: [i8; 8] = [0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3e];
/// The magnitudes of IQ3_S.
const IQ3_S_VALUES: [i8; 8] = [1, 3, 5, 7, 9, 11, 13, 15];
/// The signed values of IQ1_S and IQ1_M.
const IQ1_VALUES: [i8; 4] = [-1, 0, 1, 0];

pub(super) static IQ2_XXS: [Word8; 256] = unpack(&tables::IQ2_XXS, &IQ2_VALUES);
pub(super) static IQ2_XS: [Word8; 512] = unpack(&tables::IQ2_XS, &IQ2_VALUES);
pub(super) static IQ2_S: [Word8; 1024] = unpack(&tables::IQ2_S, &IQ2_VALUES);
pub(super) static IQ3_XXS: [Word4; 256] = unpack(&tables::IQ3_XXS, &IQ3_XXS_VALUES);
pub(super) static IQ3_S: [Word4; 512] = unpack(&tables::IQ3_S, &IQ3_S_VALUES);
pub(super) static IQ1: [Word8; 2048] = unpack(&tables::IQ1, &IQ1_VALUES);

/// Unpacks words of `W` indices of 16 / `W` bits, lowest first.
const fn unpack<const N: usize, const W: usize>(packed: &[u16; N], values: &[i8]) -> [[i8; W]; N] {
    let bits = 16 / W;
    let mut words = [[0; W]; N];
    let mut n = 0;
    while n < N {
        let mut w = 0;
        while w < W {
            words[n][w] = values[(packed[n] as usize >> (w * bits)) & ((1 << bits) - 1)];
            w += 1;
        }
        n += 1;
    }
    words
}

/// Eight signs out of seven bits: the eighth makes the number of minus signs even.
#[inline(always)]
pub(super) fn even_signs(index: u32) -> u8 {
    let seven = (index & 0x7f) as u8;
    seven | ((seven.count_ones() as u8 & 1) << 7)
}

/// out = scale × word, negated where the bit of `signs` (lowest first) is set.
#[inline(always)]
pub(super) fn signed<const W: usize>(scale: f32, word: &[i8; W], signs: u8, out: &mut [f32]) {
    for (i, (out, &value)) in out.iter_mut().zip(word).enumerate() {
        let sign = u32::from((signs >> i) & 1) << 31;
        *out = f32::from_bits((scale * f32::from(value)).to_bits() ^ sign);
    }
}

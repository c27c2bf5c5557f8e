// Block formats as they lie on the device.
//
// A matrix is cut into units of 32 values, and what belongs to a unit lies in four planes, each with
// the units of all rows in order: so any number of lanes that take units in turn read whole lines.
//
// 1. and 2. codes: 16, 8 or 4 bytes of a unit in each of one or two planes;
// 3. scales of the unit, 1, 2 or 4 bytes;
// 4. scales of 256 values, 2 or 4 bytes for each eight units (or none).
//
// Every plane begins at a multiple of 16 bytes. `src/linear/planes.rs` has the same sizes, and
// `src/linear/split` writes the planes.
//
// A value is `factor * scale * (code - centre) + minimum_factor * minimum`; scale and minimum are
// whole numbers of a unit or of each half of it, the factors are floats. Codes are read as eight
// words of four bytes, the values in order, as `__dp4a` takes them.
#pragma once

#include "common.cuh"

// Values of a unit, and units that share a scale of 256 values.
constexpr unsigned UNIT = 32;
constexpr unsigned UNITS_OF_BLOCK = 8;

// ---- Codes -----------------------------------------------------------------------------------

// Word `k` holds values 4k to 4k + 3. A word of nibbles has word k of the values in its low halves
// and word k + 4 in its high ones; a word of pairs every second word of the values, a word of single
// bits all of them.
__device__ __forceinline__ unsigned nibbles_of(const unsigned *words, unsigned k) {
    return (words[k % 4] >> (4 * (k / 4))) & 0x0f0f0f0fu;
}

__device__ __forceinline__ unsigned pairs_of(const unsigned *words, unsigned k) {
    return (words[k % 2] >> (2 * (k / 2))) & 0x03030303u;
}

__device__ __forceinline__ unsigned bits_of(unsigned word, unsigned k) { return (word >> k) & 0x01010101u; }

// 4 bits.
template <int CENTRE_> struct Nibbles {
    static constexpr unsigned FIRST = 4, SECOND = 0;
    static constexpr int CENTRE = CENTRE_;
    static constexpr bool SIGNED = false;
    static __device__ __forceinline__ unsigned word(const unsigned *codes, unsigned k) {
        return nibbles_of(codes, k);
    }
};

// 5 bits: the fifth ones in the second plane.
template <int CENTRE_> struct NibblesAndBits {
    static constexpr unsigned FIRST = 4, SECOND = 1;
    static constexpr int CENTRE = CENTRE_;
    static constexpr bool SIGNED = false;
    static __device__ __forceinline__ unsigned word(const unsigned *codes, unsigned k) {
        return nibbles_of(codes, k) | (bits_of(codes[4], k) << 4);
    }
};

// 6 bits: the upper two in the second plane.
struct NibblesAndPairs {
    static constexpr unsigned FIRST = 4, SECOND = 2;
    static constexpr int CENTRE = 32;
    static constexpr bool SIGNED = false;
    static __device__ __forceinline__ unsigned word(const unsigned *codes, unsigned k) {
        return nibbles_of(codes, k) | (pairs_of(codes + 4, k) << 4);
    }
};

// 2 bits.
struct Pairs {
    static constexpr unsigned FIRST = 2, SECOND = 0;
    static constexpr int CENTRE = 0;
    static constexpr bool SIGNED = false;
    static __device__ __forceinline__ unsigned word(const unsigned *codes, unsigned k) {
        return pairs_of(codes, k);
    }
};

// 3 bits: the third ones in the second plane.
struct PairsAndBits {
    static constexpr unsigned FIRST = 2, SECOND = 1;
    static constexpr int CENTRE = 4;
    static constexpr bool SIGNED = false;
    static __device__ __forceinline__ unsigned word(const unsigned *codes, unsigned k) {
        return pairs_of(codes, k) | (bits_of(codes[2], k) << 2);
    }
};

// Signed bytes: values 0 to 15 in the first plane, 16 to 31 in the second.
struct Bytes {
    static constexpr unsigned FIRST = 4, SECOND = 4;
    static constexpr int CENTRE = 0;
    static constexpr bool SIGNED = true;
    static __device__ __forceinline__ unsigned word(const unsigned *codes, unsigned k) { return codes[k]; }
};

// Sixteen signed bytes, four to a word, by their place.
struct CurveTable {
    static constexpr unsigned T0 = 0xbfad9881u, T1 = 0xf6eaddcfu, T2 = 0x26190d01u, T3 = 0x71594535u;
};

// Twice the values of E2M1.
struct TinyFloatTable {
    static constexpr unsigned T0 = 0x03020100u, T1 = 0x0c080604u, T2 = 0xfdfeff00u, T3 = 0xf4f8fafcu;
};

// 4 bits that are places in a table. Nibbles lie in the order of their values, because a permutation
// of bytes takes its places from nibbles that stand side by side.
template <class Table> struct Places {
    static constexpr unsigned FIRST = 4, SECOND = 0;
    static constexpr int CENTRE = 0;
    static constexpr bool SIGNED = true;
    static __device__ __forceinline__ unsigned word(const unsigned *codes, unsigned k) {
        unsigned places = codes[k / 2] >> (16 * (k % 2));
        unsigned lower = __byte_perm(Table::T0, Table::T1, places & 0x7777u);
        unsigned upper = __byte_perm(Table::T2, Table::T3, places & 0x7777u);
        // Byte i of the lower ones, or of the upper ones where the place has its highest bit set.
        return __byte_perm(lower, upper, 0x3210u | ((places & 0x8888u) >> 1));
    }
};

// ---- Scales ----------------------------------------------------------------------------------

// What both planes of scales have of a unit; a scale of 256 values is the same for eight units.
struct Meta {
    unsigned unit, block;
};

__device__ __forceinline__ float lower_half(unsigned word) { return f16_to_f32(static_cast<uint16_t>(word)); }
__device__ __forceinline__ float upper_half(unsigned word) {
    return f16_to_f32(static_cast<uint16_t>(word >> 16));
}

// One float for a unit, of which `Scale` says what it is.
struct NoMinimum {
    static constexpr bool HALVES = false, MINIMA = false;
    static __device__ __forceinline__ int scale(Meta, unsigned) { return 1; }
    static __device__ __forceinline__ float minimum_factor(Meta) { return 0.0f; }
    static __device__ __forceinline__ int minimum(Meta, unsigned) { return 0; }
};

// A half.
struct HalfScale : NoMinimum {
    static constexpr unsigned UNIT_BYTES = 2, BLOCK_BYTES = 0;
    static __device__ __forceinline__ float factor(Meta meta) { return lower_half(meta.unit); }
};

// Half of a power of two: 2^(byte - 128). The two smallest are subnormal.
struct PowerScale : NoMinimum {
    static constexpr unsigned UNIT_BYTES = 1, BLOCK_BYTES = 0;
    static __device__ __forceinline__ float factor(Meta meta) {
        return __uint_as_float(meta.unit < 2 ? 0x00200000u << meta.unit : (meta.unit - 1) << 23);
    }
};

// Two halves: scale and minimum.
struct HalfScaleAndMinimum {
    static constexpr unsigned UNIT_BYTES = 4, BLOCK_BYTES = 0;
    static constexpr bool HALVES = false, MINIMA = true;
    static __device__ __forceinline__ float factor(Meta meta) { return lower_half(meta.unit); }
    static __device__ __forceinline__ int scale(Meta, unsigned) { return 1; }
    static __device__ __forceinline__ float minimum_factor(Meta meta) { return upper_half(meta.unit); }
    static __device__ __forceinline__ int minimum(Meta, unsigned) { return 1; }
};

// A signed byte for a unit, a half for eight of them.
struct ByteScale : NoMinimum {
    static constexpr unsigned UNIT_BYTES = 1, BLOCK_BYTES = 2;
    static __device__ __forceinline__ float factor(Meta meta) { return lower_half(meta.block); }
    static __device__ __forceinline__ int scale(Meta meta, unsigned) {
        return static_cast<int8_t>(meta.unit);
    }
};

// A signed byte for each half of a unit, a half-precision number for eight units.
struct ByteScales : NoMinimum {
    static constexpr unsigned UNIT_BYTES = 2, BLOCK_BYTES = 2;
    static constexpr bool HALVES = true;
    static __device__ __forceinline__ float factor(Meta meta) { return lower_half(meta.block); }
    static __device__ __forceinline__ int scale(Meta meta, unsigned half) {
        return static_cast<int8_t>(meta.unit >> (8 * half));
    }
};

// What K-quants with minima share: halves for eight units, of which the second is subtracted.
struct TwoHalves {
    static constexpr unsigned UNIT_BYTES = 2, BLOCK_BYTES = 4;
    static constexpr bool MINIMA = true;
    static __device__ __forceinline__ float factor(Meta meta) { return lower_half(meta.block); }
    static __device__ __forceinline__ float minimum_factor(Meta meta) { return -upper_half(meta.block); }
};

// A byte of scale and a byte of minimum.
struct ByteScaleAndMinimum : TwoHalves {
    static constexpr bool HALVES = false;
    static __device__ __forceinline__ int scale(Meta meta, unsigned) { return meta.unit & 0xffu; }
    static __device__ __forceinline__ int minimum(Meta meta, unsigned) { return meta.unit >> 8; }
};

// For each half of a unit a nibble of scale and, above it, one of minimum.
struct NibbleScalesAndMinima : TwoHalves {
    static constexpr bool HALVES = true;
    static __device__ __forceinline__ int scale(Meta meta, unsigned half) {
        return (meta.unit >> (8 * half)) & 0x0fu;
    }
    static __device__ __forceinline__ int minimum(Meta meta, unsigned half) {
        return (meta.unit >> (8 * half + 4)) & 0x0fu;
    }
};

// ---- Formats ---------------------------------------------------------------------------------

template <class Codes_, class Scales_> struct Blocks {
    using Codes = Codes_;
    using Scales = Scales_;
    static constexpr unsigned WORDS = Codes::FIRST + Codes::SECOND;
};

using q4_0 = Blocks<Nibbles<8>, HalfScale>;
using q4_1 = Blocks<Nibbles<0>, HalfScaleAndMinimum>;
using q5_0 = Blocks<NibblesAndBits<16>, HalfScale>;
using q5_1 = Blocks<NibblesAndBits<0>, HalfScaleAndMinimum>;
using q8_0 = Blocks<Bytes, HalfScale>;
using q2_k = Blocks<Pairs, NibbleScalesAndMinima>;
using q3_k = Blocks<PairsAndBits, ByteScales>;
using q4_k = Blocks<Nibbles<0>, ByteScaleAndMinimum>;
using q5_k = Blocks<NibblesAndBits<0>, ByteScaleAndMinimum>;
using q6_k = Blocks<NibblesAndPairs, ByteScales>;
using iq4_nl = Blocks<Places<CurveTable>, HalfScale>;
using iq4_xs = Blocks<Places<CurveTable>, ByteScale>;
using mxfp4 = Blocks<Places<TinyFloatTable>, PowerScale>;

// ---- Reading ---------------------------------------------------------------------------------

// What a unit is made of, as it was loaded.
template <class Format> struct Raw {
    unsigned codes[Format::WORDS];
    Meta meta;
};

// How weights are loaded: by lanes that take each line once and whole, or so that the rest of a line
// stays near for whoever comes next.
enum class Cached { NO, YES };

template <unsigned WORDS, Cached CACHED>
__device__ __forceinline__ void load_words(unsigned *words, const uint8_t *from) {
    if constexpr (WORDS == 4) {
        uint4 loaded;
#ifndef PONDER_EMULATED
        if constexpr (CACHED == Cached::NO) {
            asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                : "=r"(loaded.x), "=r"(loaded.y), "=r"(loaded.z), "=r"(loaded.w)
                : "l"(from));
        } else
#endif
            loaded = __ldg(reinterpret_cast<const uint4 *>(from));
        words[0] = loaded.x, words[1] = loaded.y, words[2] = loaded.z, words[3] = loaded.w;
    } else if constexpr (WORDS == 2) {
        uint2 loaded = __ldg(reinterpret_cast<const uint2 *>(from));
        words[0] = loaded.x, words[1] = loaded.y;
    } else if constexpr (WORDS == 1) {
        words[0] = __ldg(reinterpret_cast<const unsigned *>(from));
    }
}

template <unsigned BYTES> __device__ __forceinline__ unsigned load_bytes(const uint8_t *from) {
    if constexpr (BYTES == 4) {
        return __ldg(reinterpret_cast<const unsigned *>(from));
    } else if constexpr (BYTES == 2) {
        return __ldg(reinterpret_cast<const unsigned short *>(from));
    } else if constexpr (BYTES == 1) {
        return __ldg(from);
    }
    return 0;
}

__device__ __forceinline__ size_t aligned_16(size_t n) { return (n + 15) / 16 * 16; }

// Where the planes of a matrix of `n_units` units are, from its beginning.
template <class Format> struct Planes {
    using Codes = typename Format::Codes;
    using Scales = typename Format::Scales;
    size_t second, units, blocks;

    __device__ __forceinline__ explicit Planes(size_t n_units) {
        second = aligned_16(n_units * (4 * Codes::FIRST));
        units = second + aligned_16(n_units * (4 * Codes::SECOND));
        blocks = units + aligned_16(n_units * Scales::UNIT_BYTES);
    }

    template <Cached CACHED>
    __device__ __forceinline__ Raw<Format> load(const uint8_t *matrix, size_t unit) const {
        Raw<Format> raw;
        load_words<Codes::FIRST, CACHED>(raw.codes, matrix + unit * (4 * Codes::FIRST));
        if constexpr (Codes::SECOND > 0) {
            load_words<Codes::SECOND, CACHED>(raw.codes + Codes::FIRST,
                                              matrix + second + unit * (4 * Codes::SECOND));
        }
        raw.meta.unit = load_bytes<Scales::UNIT_BYTES>(matrix + units + unit * Scales::UNIT_BYTES);
        raw.meta.block =
            load_bytes<Scales::BLOCK_BYTES>(matrix + blocks + unit / UNITS_OF_BLOCK * Scales::BLOCK_BYTES);
        return raw;
    }
};

// ---- Values ----------------------------------------------------------------------------------

// Sixteen values: one half of a unit.
template <class Format>
__device__ __forceinline__ void values_of(const Raw<Format> &raw, unsigned half, float (&values)[16]) {
    using Codes = typename Format::Codes;
    using Scales = typename Format::Scales;
    float scale = Scales::factor(raw.meta) * static_cast<float>(Scales::scale(raw.meta, half));
    float minimum = 0.0f;
    if constexpr (Scales::MINIMA) {
        minimum = Scales::minimum_factor(raw.meta) * static_cast<float>(Scales::minimum(raw.meta, half));
    }
    // A byte becomes a float as the lowest byte of the float 2^23; signed ones are shifted before.
    constexpr int CENTRE = Codes::CENTRE + (Codes::SIGNED ? 128 : 0);
    constexpr float BASE = 8388608.0f + static_cast<float>(CENTRE);
#pragma unroll
    for (unsigned k = 0; k < 4; k++) {
        // Both are computed, so that no array is indexed by a number that the compiler does not know.
        unsigned lower = Codes::word(raw.codes, k), upper = Codes::word(raw.codes, k + 4);
        unsigned codes = (half ? upper : lower) ^ (Codes::SIGNED ? 0x80808080u : 0u);
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            float code = __uint_as_float(__byte_perm(codes, 0x4b000000u, 0x7440u | i)) - BASE;
            values[4 * k + i] = Scales::MINIMA ? scale * code + minimum : scale * code;
        }
    }
}

// ---- Products with whole numbers -------------------------------------------------------------

// The product of a unit with 32 activations, of which `dots` are the sums of products of codes and
// `sums` the sums of codes, for each half. To be multiplied by the scale of the activations.
template <class Format>
__device__ __forceinline__ float product_of(Meta meta, const int (&dots)[2], const int (&sums)[2]) {
    using Codes = typename Format::Codes;
    using Scales = typename Format::Scales;
    int product, minima = 0;
    if constexpr (Scales::HALVES) {
        product = Scales::scale(meta, 0) * (dots[0] - Codes::CENTRE * sums[0]) +
                  Scales::scale(meta, 1) * (dots[1] - Codes::CENTRE * sums[1]);
        minima = Scales::minimum(meta, 0) * sums[0] + Scales::minimum(meta, 1) * sums[1];
    } else {
        product = Scales::scale(meta, 0) * (dots[0] + dots[1] - Codes::CENTRE * (sums[0] + sums[1]));
        minima = Scales::minimum(meta, 0) * (sums[0] + sums[1]);
    }
    float value = Scales::factor(meta) * static_cast<float>(product);
    if constexpr (Scales::MINIMA) {
        value += Scales::minimum_factor(meta) * static_cast<float>(minima);
    }
    return value;
}

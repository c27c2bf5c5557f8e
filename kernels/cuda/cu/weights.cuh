// Weights of any encoding, read by halves of a unit: sixteen values.
//
// Plain numbers lie row by row, rows filled up with zeros to whole units of 32 values. So do floats of
// eight bits, but to whole groups of 128 values, each of which has a scale; behind all rows lie the
// scales, likewise row by row.
#pragma once

#include "blocks.cuh"
#include "e4m3.cuh"

struct f32 {
    static constexpr unsigned BYTES = 4;
    static __device__ __forceinline__ void values(const unsigned *words, float *values) {
        values[0] = __uint_as_float(words[0]);
    }
};

struct f16 {
    static constexpr unsigned BYTES = 2;
    static __device__ __forceinline__ void values(const unsigned *words, float *values) {
        values[0] = lower_half(words[0]), values[1] = upper_half(words[0]);
    }
};

struct bf16 {
    static constexpr unsigned BYTES = 2;
    static __device__ __forceinline__ void values(const unsigned *words, float *values) {
        values[0] = __uint_as_float(words[0] << 16), values[1] = __uint_as_float(words[0] & 0xffff0000u);
    }
};

// E4M3. What a scale is not part of yet is a code.
struct fp8 {
    static constexpr unsigned BYTES = 1;
    static __device__ __forceinline__ void values(const unsigned *words, float *values) {
        unsigned lower = e4m3x2_to_f16x2(words[0] & 0xffffu), upper = e4m3x2_to_f16x2(words[0] >> 16);
        values[0] = lower_half(lower), values[1] = upper_half(lower);
        values[2] = lower_half(upper), values[3] = upper_half(upper);
    }
};

// Whether each group of values of a row has a scale, which sums are multiplied by.
constexpr unsigned GROUP = 128;
template <class Encoding> constexpr bool IS_GROUPED = false;
template <> constexpr bool IS_GROUPED<fp8> = true;

// Activations that are E4M3 with a power of two for each unit (MXFP8).
struct mxfp8 {
    static constexpr unsigned BYTES = 1;
};

// What rows are filled up to a multiple of.
template <class Encoding> constexpr unsigned FILLED_TO = UNIT;
template <> constexpr unsigned FILLED_TO<fp8> = GROUP;
template <> constexpr unsigned FILLED_TO<mxfp8> = GROUP;

// Units that a row takes.
template <class Encoding> __device__ __forceinline__ unsigned units_of_row(unsigned width) {
    constexpr unsigned WHOLE = FILLED_TO<Encoding>;
    return (width + WHOLE - 1) / WHOLE * (WHOLE / UNIT);
}

// Calls `Float::values` for each of `WORDS` words.
template <class Float, unsigned WORDS>
__device__ __forceinline__ void floats_of(const unsigned (&words)[WORDS],
                                          float (&values)[WORDS * 4 / Float::BYTES]) {
#pragma unroll
    for (unsigned i = 0; i < WORDS; i++) {
        Float::values(words + i, values + i * (4 / Float::BYTES));
    }
}

// Reads a block format.
template <class Encoding> struct Reader {
    using Half = Raw<Encoding>;
    Planes<Encoding> planes;

    __device__ __forceinline__ explicit Reader(size_t n_units) : planes(n_units) {}

    // What is needed for half a unit. Both halves may lie in the same bytes.
    __device__ __forceinline__ Half load(const uint8_t *matrix, size_t unit, unsigned) const {
        return planes.template load<Cached::YES>(matrix, unit);
    }

    static __device__ __forceinline__ void values(const Half &raw, unsigned half, float (&values)[16]) {
        values_of<Encoding>(raw, half, values);
    }
};

// Reads plain numbers.
template <class Float> struct FloatReader {
    struct Half {
        unsigned words[4 * Float::BYTES];
    };

    __device__ __forceinline__ explicit FloatReader(size_t) {}

    __device__ __forceinline__ Half load(const uint8_t *matrix, size_t unit, unsigned half) const {
        Half raw;
        const uint8_t *from = matrix + (2 * unit + half) * (16 * Float::BYTES);
#pragma unroll
        for (unsigned i = 0; i < Float::BYTES; i++) {
            load_words<4, Cached::YES>(raw.words + 4 * i, from + 16 * i);
        }
        return raw;
    }

    static __device__ __forceinline__ void values(const Half &raw, unsigned, float (&values)[16]) {
        floats_of<Float>(raw.words, values);
    }
};

template <> struct Reader<f32> : FloatReader<f32> {
    using FloatReader::FloatReader;
};
template <> struct Reader<f16> : FloatReader<f16> {
    using FloatReader::FloatReader;
};
template <> struct Reader<bf16> : FloatReader<bf16> {
    using FloatReader::FloatReader;
};

// Reads floats of eight bits.
template <> struct Reader<fp8> {
    struct Half {
        unsigned words[4];
        float scale;
    };
    // Where scales begin.
    size_t scales;

    __device__ __forceinline__ explicit Reader(size_t n_units) : scales(n_units * UNIT) {}

    // That of a group, counted through all rows.
    __device__ __forceinline__ float scale(const uint8_t *matrix, size_t group) const {
        return __uint_as_float(load_bytes<4>(matrix + scales + 4 * group));
    }

    __device__ __forceinline__ Half load(const uint8_t *matrix, size_t unit, unsigned half) const {
        Half raw;
        load_words<4, Cached::YES>(raw.words, matrix + unit * UNIT + 16 * half);
        raw.scale = scale(matrix, unit / (GROUP / UNIT));
        return raw;
    }

    static __device__ __forceinline__ void codes(const Half &raw, float (&codes)[16]) {
        floats_of<fp8>(raw.words, codes);
    }

    static __device__ __forceinline__ void values(const Half &raw, unsigned, float (&values)[16]) {
        codes(raw, values);
#pragma unroll
        for (unsigned i = 0; i < 16; i++) {
            values[i] *= raw.scale;
        }
    }
};

// Formats of 32 values, K-quants and their like, and plain numbers: `DEFINE(name)` for each.
#define FOR_EACH_LEGACY(DEFINE)                                                                    \
    DEFINE(q4_0) DEFINE(q4_1) DEFINE(q5_0) DEFINE(q5_1) DEFINE(q8_0) DEFINE(iq4_nl) DEFINE(mxfp4)
#define FOR_EACH_K_QUANT(DEFINE)                                                                   \
    DEFINE(q2_k) DEFINE(q3_k) DEFINE(q4_k) DEFINE(q5_k) DEFINE(q6_k) DEFINE(iq4_xs)
#define FOR_EACH_FLOAT(DEFINE) DEFINE(f32) DEFINE(f16) DEFINE(bf16) DEFINE(fp8)

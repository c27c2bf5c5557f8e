// How keys and values lie in memory: blocks of 32 tokens, in each of them the heads, in each of
// those its tokens, row by row. A head takes `head_bytes`.
#pragma once

#include "e4m3.cuh"

constexpr unsigned BLOCK_LEN = 32;
constexpr unsigned MAX_HEAD_DIM = 256;

// The largest number of half precision stands for all beyond; NaN stays NaN.
__device__ __forceinline__ uint16_t f32_to_f16_saturated(float value) {
    value = value > 65504.0f ? 65504.0f : value;
    return f32_to_f16(value < -65504.0f ? -65504.0f : value);
}

// A format has
// - `head_bytes`: bytes of one head in a block;
// - `get`: a number of a head;
// - `put`: stores a number for each lane of a warp, whose dimensions are `first + lane`; 0 where
//   they are beyond the head.

// Numbers one by one, each a `Word`.
template <class Word, float (*WIDEN)(Word), Word (*ROUND)(float)> struct KvWords {
    static __device__ __forceinline__ size_t head_bytes(unsigned head_dim) {
        return size_t(BLOCK_LEN) * head_dim * sizeof(Word);
    }

    static __device__ __forceinline__ float get(const unsigned char *head, unsigned token, unsigned dim,
                                                unsigned head_dim) {
        return WIDEN(reinterpret_cast<const Word *>(head)[token * head_dim + dim]);
    }

    static __device__ __forceinline__ void put(unsigned char *head, unsigned token, unsigned first,
                                               unsigned head_dim, float value) {
        unsigned dim = first + threadIdx.x % WARP;
        if (dim < head_dim) {
            reinterpret_cast<Word *>(head)[token * head_dim + dim] = ROUND(value);
        }
    }
};

__device__ __forceinline__ float as_it_is(float value) { return value; }

using KvF32 = KvWords<float, as_it_is, as_it_is>;
using KvF16 = KvWords<uint16_t, f16_to_f32, f32_to_f16_saturated>;
using KvBf16 = KvWords<uint16_t, bf16_to_f32, f32_to_bf16>;

// The codes of all tokens, a byte each, then their scales, one for each 32 dimensions.
template <class Scale> struct KvScaled {
    static constexpr unsigned CHUNK = 32;

    static __device__ __forceinline__ unsigned n_scales(unsigned head_dim) {
        return (head_dim + CHUNK - 1) / CHUNK;
    }

    static __device__ __forceinline__ size_t head_bytes(unsigned head_dim) {
        return size_t(BLOCK_LEN) * (head_dim + n_scales(head_dim) * sizeof(Scale));
    }

    // Where the scale of a dimension is, in bytes.
    static __device__ __forceinline__ size_t scale_at(unsigned token, unsigned dim, unsigned head_dim) {
        size_t index = token * n_scales(head_dim) + dim / CHUNK;
        return size_t(BLOCK_LEN) * head_dim + index * sizeof(Scale);
    }

    static __device__ __forceinline__ Scale scale(const unsigned char *head, unsigned token, unsigned dim,
                                                  unsigned head_dim) {
        return *reinterpret_cast<const Scale *>(head + scale_at(token, dim, head_dim));
    }

    // Stores each lane's code, and the scale that they share.
    static __device__ __forceinline__ void store(unsigned char *head, unsigned token, unsigned first,
                                                 unsigned head_dim, uint8_t code, Scale scale) {
        unsigned lane = threadIdx.x % WARP;
        if (first + lane < head_dim) {
            head[token * head_dim + first + lane] = code;
        }
        if (lane == 0 && first < head_dim) {
            *reinterpret_cast<Scale *>(head + scale_at(token, first, head_dim)) = scale;
        }
    }
};

// Whole numbers, with scales of half precision.
struct KvQ8 : KvScaled<uint16_t> {
    static __device__ __forceinline__ float get(const unsigned char *head, unsigned token, unsigned dim,
                                                unsigned head_dim) {
        int code = static_cast<int8_t>(head[token * head_dim + dim]);
        return static_cast<float>(code) * f16_to_f32(scale(head, token, dim, head_dim));
    }

    static __device__ __forceinline__ void put(unsigned char *head, unsigned token, unsigned first,
                                               unsigned head_dim, float value) {
        uint16_t scale = f32_to_f16_saturated(warp_max(fabsf(value)) / 127.0f);
        float rounded = f16_to_f32(scale);
        float inverse = rounded == 0.0f ? 0.0f : 1.0f / rounded;
        float code = fminf(fmaxf(rintf(value * inverse), -127.0f), 127.0f);
        store(head, token, first, head_dim, static_cast<uint8_t>(static_cast<int8_t>(code)), scale);
    }
};

// Floats, with scales that are powers of two from 2^-14 to 2^7, so that half precision has every
// product: a scale is the upper byte of its bits there.
struct KvFp8 : KvScaled<uint8_t> {
    static __device__ __forceinline__ float get(const unsigned char *head, unsigned token, unsigned dim,
                                                unsigned head_dim) {
        uint16_t factor = static_cast<uint16_t>(scale(head, token, dim, head_dim) << 8);
        return e4m3_to_f32(head[token * head_dim + dim]) * f16_to_f32(factor);
    }

    static __device__ __forceinline__ void put(unsigned char *head, unsigned token, unsigned first,
                                               unsigned head_dim, float value) {
        // The least power of two by which the largest number is not beyond 448, which is 1.75 * 2^8:
        // what is added carries beyond that fraction. 15 and 127 are what exponents are kept with.
        unsigned bits = __float_as_uint(warp_max(fabsf(value)));
        int least = static_cast<int>((bits + 0x1fffffu) >> 23) - 127 - 8 + 15;
        unsigned exponent = static_cast<unsigned>(min(max(least, 1), 22));
        float inverse = __uint_as_float((127 + 15 - exponent) << 23);
        uint8_t scale = static_cast<uint8_t>(exponent << 2);
        store(head, token, first, head_dim, f32_to_e4m3(value * inverse), scale);
    }
};

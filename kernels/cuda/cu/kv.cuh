// How keys and values lie in memory: blocks of 32 tokens, in each of them the heads, in each of
// those its tokens, row by row. A head takes `head_bytes`.
#pragma once

#include "common.cuh"

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

// The codes of all tokens, then their scales, one of half precision for each 32 dimensions.
struct KvQ8 {
    static constexpr unsigned CHUNK = 32;

    static __device__ __forceinline__ unsigned n_scales(unsigned head_dim) {
        return (head_dim + CHUNK - 1) / CHUNK;
    }

    static __device__ __forceinline__ size_t head_bytes(unsigned head_dim) {
        return size_t(BLOCK_LEN) * (head_dim + n_scales(head_dim) * sizeof(uint16_t));
    }

    static __device__ __forceinline__ const uint16_t *scales(const unsigned char *head, unsigned head_dim) {
        return reinterpret_cast<const uint16_t *>(head + size_t(BLOCK_LEN) * head_dim);
    }

    static __device__ __forceinline__ float get(const unsigned char *head, unsigned token, unsigned dim,
                                                unsigned head_dim) {
        int code = reinterpret_cast<const int8_t *>(head)[token * head_dim + dim];
        uint16_t scale = scales(head, head_dim)[token * n_scales(head_dim) + dim / CHUNK];
        return static_cast<float>(code) * f16_to_f32(scale);
    }

    static __device__ __forceinline__ void put(unsigned char *head, unsigned token, unsigned first,
                                               unsigned head_dim, float value) {
        unsigned lane = threadIdx.x % WARP;
        uint16_t scale = f32_to_f16_saturated(warp_max(fabsf(value)) / 127.0f);
        float rounded = f16_to_f32(scale);
        float inverse = rounded == 0.0f ? 0.0f : 1.0f / rounded;
        if (first + lane < head_dim) {
            float code = fminf(fmaxf(rintf(value * inverse), -127.0f), 127.0f);
            reinterpret_cast<int8_t *>(head)[token * head_dim + first + lane] = static_cast<int8_t>(code);
        }
        if (lane == 0 && first < head_dim) {
            uint16_t *scales = reinterpret_cast<uint16_t *>(head + size_t(BLOCK_LEN) * head_dim);
            scales[token * n_scales(head_dim) + first / CHUNK] = scale;
        }
    }
};

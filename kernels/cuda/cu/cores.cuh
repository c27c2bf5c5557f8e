// Numbers that tensor cores multiply: bfloat16 from Ampere on, half precision before; and floats of eight
// bits where there are such products.
//
// Half precision has three bits more, but not the range: rows of activations are scaled by a power of
// two each, and what comes out is scaled back. In eight bits each group of activations has a scale, or each
// unit a power of two, which tensor cores multiply by themselves.
#pragma once

#include "mma_f16.cuh"
#include "mma_fp8.cuh"
#include "mma_mx.cuh"
#include "weights.cuh"

#if defined(PONDER_EMULATED)
constexpr bool MULTIPLIES_BF16 = true, MULTIPLIES_F16 = true;
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr bool MULTIPLIES_BF16 = false, MULTIPLIES_F16 = true;
#else
// It does, but nobody asks for it.
constexpr bool MULTIPLIES_BF16 = true, MULTIPLIES_F16 = false;
#endif

template <class Number> struct Cores;

template <> struct Cores<bf16> {
    static constexpr bool IS_USED = MULTIPLIES_BF16, IS_SCALED = false;

    // Two floats, rounded, in one word.
    static __device__ __forceinline__ unsigned round_pair(float first, float second) {
        return round_pair_to_bf16(first, second);
    }

    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        mma_bf16(d, a, b);
    }
};

template <> struct Cores<f16> {
    static constexpr bool IS_USED = MULTIPLIES_F16, IS_SCALED = true;

    static __device__ __forceinline__ unsigned round_pair(float first, float second) {
        return round_pair_to_f16(first, second);
    }

    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        mma_f16(d, a, b);
    }
};

template <> struct Cores<fp8> {
    static constexpr bool IS_USED = MULTIPLIES_FP8, IS_SCALED = false;

    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2]) {
        mma_e4m3(d, a, b);
    }
};

template <> struct Cores<mxfp8> {
    static constexpr bool IS_USED = MULTIPLIES_MX, IS_SCALED = false;

    // With the powers of two of a row of weights and of a column, as `mma_mx` takes them.
    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4],
                                                    const unsigned (&b)[2], unsigned a_power,
                                                    unsigned b_power) {
        mma_mx(d, a, b, a_power, b_power);
    }
};

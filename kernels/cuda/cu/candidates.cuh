// Tokens in the running, in the order in which they are preferred.
//
// A candidate is one number of 64 bits: the logit, in an order that unsigned numbers have too, and
// below it the token, so that of equal logits the lower token is the larger number. No two are equal.
#pragma once

#include "common.cuh"

typedef unsigned long long Candidate;

// Worse than all.
constexpr Candidate NOBODY = 0;

// Zeros are equal whatever their sign. The logit is a number.
__device__ __forceinline__ Candidate candidate(float logit, unsigned token) {
    unsigned bits = __float_as_uint(logit == 0.0f ? 0.0f : logit);
    unsigned order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return static_cast<Candidate>(order) << 32 | (~token & 0xffffffffu);
}

__device__ __forceinline__ unsigned token_of(Candidate candidate) {
    return ~static_cast<unsigned>(candidate);
}

__device__ __forceinline__ float logit_of(Candidate candidate) {
    unsigned order = static_cast<unsigned>(candidate >> 32);
    return __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
}

__device__ __forceinline__ Candidate better(Candidate a, Candidate b) { return a > b ? a : b; }

__device__ __forceinline__ Candidate warp_best(Candidate own) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) {
        own = better(own, __shfl_xor_sync(ALL_LANES, own, step));
    }
    return own;
}

// The best that the threads of a block have.
__device__ __forceinline__ Candidate block_best(Candidate own) {
    __shared__ Candidate bests[WARP];
    own = warp_best(own);
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        bests[threadIdx.x / WARP] = own;
    }
    __syncthreads();
    for (unsigned warp = 0; warp < blockDim.x / WARP; warp++) {
        own = better(own, bests[warp]);
    }
    return own;
}

// Sorts `n` of them, a power of two, best first: compare and exchange over distances that halve, in
// runs that double.
__device__ __forceinline__ void sort(Candidate *all, unsigned n) {
    for (unsigned run = 2; run <= n; run *= 2) {
        for (unsigned distance = run / 2; distance > 0; distance /= 2) {
            __syncthreads();
            for (unsigned i = threadIdx.x; i < n / 2; i += blockDim.x) {
                unsigned low = 2 * i - i % distance, high = low + distance;
                bool is_falling = (low & run) == 0;
                Candidate a = all[low], b = all[high];
                if ((a < b) == is_falling) {
                    all[low] = b;
                    all[high] = a;
                }
            }
        }
    }
    __syncthreads();
}

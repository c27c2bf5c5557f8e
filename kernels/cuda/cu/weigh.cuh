// What tokens weigh against each other, with the bits that the processor's sampler gets: each sum and
// product is rounded by itself, and sums are taken in the same order.
#pragma once

#include "common.cuh"

// Tokens whose weights are added before they join a total.
constexpr unsigned SUMMED = 1024;
// Totals of a stretch of so many tokens that are added in turn, in float32.
constexpr unsigned SUM_LANES = 16;
// The same in float64.
constexpr unsigned TOTAL_LANES = 4;

// `e^x` for `x <= 0`; 0 below -87. Range reduction by ln 2 in two parts (Cody and Waite), then the
// polynomial of Taylor.
__device__ __forceinline__ float exp_below(float x) {
    constexpr float MIN = -87.0f, ROUND = 12582912.0f, LOG2_E = 1.44269504088896340736f;
    constexpr float LN2_HIGH = 0.6933594f, LN2_LOW = -2.1219444e-4f;
    float inside = x > MIN ? x : MIN;
    float shifted = __fadd_rn(__fmul_rn(inside, LOG2_E), ROUND);
    float n = __fsub_rn(shifted, ROUND);
    float rest = __fsub_rn(__fsub_rn(inside, __fmul_rn(n, LN2_HIGH)), __fmul_rn(n, LN2_LOW));
    float power = 1.0f / 5040.0f;
    constexpr float FACTORS[] = {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f};
#pragma unroll
    for (unsigned i = 0; i < 7; i++) {
        power = __fadd_rn(__fmul_rn(power, rest), FACTORS[i]);
    }
    unsigned exponent = __float_as_uint(shifted) - __float_as_uint(ROUND) + 127;
    float value = __fmul_rn(power, __uint_as_float(exponent << 23));
    return x > MIN ? value : 0.0f;
}

// How a row's logits become weights: the likeliest token weighs 1.
struct Scale {
    float max, sharpness;

    __device__ __forceinline__ float weight(float logit) const {
        return exp_below(__fmul_rn(__fsub_rn(logit, max), sharpness));
    }
};

// The sum of a few weights, by one thread.
__device__ __forceinline__ double sum_of(const float *weights, unsigned n) {
    double lanes[TOTAL_LANES] = {0.0, 0.0, 0.0, 0.0}, rest = 0.0;
    unsigned whole = n - n % TOTAL_LANES;
    for (unsigned i = 0; i < whole; i += TOTAL_LANES) {
        for (unsigned lane = 0; lane < TOTAL_LANES; lane++) {
            lanes[lane] += static_cast<double>(weights[i + lane]);
        }
    }
    for (unsigned i = whole; i < n; i++) {
        rest += static_cast<double>(weights[i]);
    }
    return lanes[0] + lanes[1] + lanes[2] + lanes[3] + rest;
}

// The first of `n` tokens at which the running sum exceeds `target`, by one thread; if rounding lets
// none, the last one with any weight.
__device__ __forceinline__ unsigned pick(const float *weights, unsigned n, double target) {
    unsigned last = 0;
    for (unsigned i = 0; i < n; i++) {
        if (weights[i] > 0.0f) {
            last = i;
            target -= static_cast<double>(weights[i]);
            if (target < 0.0) {
                break;
            }
        }
    }
    return last;
}

// Tokens of the stretch that begins at `first`.
__device__ __forceinline__ unsigned stretch_len(unsigned first, unsigned n_tokens) {
    return first < n_tokens ? min(SUMMED, n_tokens - first) : 0u;
}

// The weights of each stretch of a row, added in float32.
__device__ __forceinline__ void sum_stretches(const float *row, unsigned n_tokens, Scale scale, float *sums) {
    unsigned n_stretches = (n_tokens + SUMMED - 1) / SUMMED, lane = threadIdx.x % SUM_LANES;
    for (unsigned base = 0; base < n_stretches * SUM_LANES; base += blockDim.x) {
        unsigned stretch = (base + threadIdx.x) / SUM_LANES;
        unsigned first = stretch * SUMMED, len = stretch_len(first, n_tokens);
        float own = 0.0f;
        for (unsigned i = lane; i < len; i += SUM_LANES) {
            own += scale.weight(row[first + i]);
        }
        float sum = __shfl_sync(ALL_LANES, own, 0, SUM_LANES);
        for (unsigned other = 1; other < SUM_LANES; other++) {
            sum += __shfl_sync(ALL_LANES, own, other, SUM_LANES);
        }
        if (lane == 0 && stretch < n_stretches) {
            sums[stretch] = sum;
        }
    }
}

// The weights of each stretch of a row, added in float64.
__device__ __forceinline__ void total_stretches(const float *row, unsigned n_tokens, Scale scale,
                                                double *totals) {
    unsigned n_stretches = (n_tokens + SUMMED - 1) / SUMMED, lane = threadIdx.x % TOTAL_LANES;
    for (unsigned base = 0; base < n_stretches * TOTAL_LANES; base += blockDim.x) {
        unsigned stretch = (base + threadIdx.x) / TOTAL_LANES;
        unsigned first = stretch * SUMMED, len = stretch_len(first, n_tokens);
        unsigned whole = len - len % TOTAL_LANES;
        double own = 0.0;
        for (unsigned i = lane; i < whole; i += TOTAL_LANES) {
            own += static_cast<double>(scale.weight(row[first + i]));
        }
        double total = __shfl_sync(ALL_LANES, own, 0, TOTAL_LANES);
        for (unsigned other = 1; other < TOTAL_LANES; other++) {
            total += __shfl_sync(ALL_LANES, own, other, TOTAL_LANES);
        }
        if (lane == 0 && stretch < n_stretches) {
            double rest = 0.0;
            for (unsigned i = whole; i < len; i++) {
                rest += static_cast<double>(scale.weight(row[first + i]));
            }
            totals[stretch] = total + rest;
        }
    }
}

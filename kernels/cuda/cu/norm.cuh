// Root mean square norms: of their own, and where what is normalized is rounded.
#pragma once

#include "common.cuh"

// Lanes that share out a row, so that the order of sums is the same for any block of a power of two of
// threads up to this one.
constexpr unsigned NORM_LANES = 512;

// 1 / rms, of a row whose squares have this sum.
__device__ __forceinline__ float norm_factor(float squares, unsigned width, float eps) {
    return 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
}

// What becomes of a row: `x / rms(x) * (weight + offset)`, or nothing where there is no weight.
struct Norm {
    const float *weight;
    float eps, offset;

    // The factor of a row, for all threads of the block. `shared` has room for a number of every 32 lanes.
    __device__ __forceinline__ float factor(const float *row, unsigned width, float *shared) const {
        if (weight == nullptr) {
            return 1.0f;
        }
        unsigned n_fours = width % 4 == 0 ? width / 4 : 0;
        for (unsigned lane = threadIdx.x; lane < NORM_LANES; lane += blockDim.x) {
            float sum = 0.0f;
            for (unsigned i = lane; i < n_fours; i += NORM_LANES) {
                float4 v = reinterpret_cast<const float4 *>(row)[i];
                sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
            }
            for (unsigned i = 4 * n_fours + lane; i < width; i += NORM_LANES) {
                sum += row[i] * row[i];
            }
            sum = warp_sum(sum);
            if (lane % WARP == 0) {
                shared[lane / WARP] = sum;
            }
        }
        __syncthreads();
        float squares = 0.0f;
        for (unsigned i = 0; i < NORM_LANES / WARP; i++) {
            squares += shared[i];
        }
        return norm_factor(squares, width, eps);
    }

    // Number `i` of a row.
    __device__ __forceinline__ float of(const float *row, unsigned i, float factor) const {
        return weight == nullptr ? row[i] : row[i] * factor * (weight[i] + offset);
    }

    // Four numbers, from number `4 * i` of a row on, but for the factor.
    __device__ __forceinline__ float4 weighted(float4 v, unsigned i) const {
        float4 w = reinterpret_cast<const float4 *>(weight)[i];
        return make_float4(v.x * (w.x + offset), v.y * (w.y + offset), v.z * (w.z + offset),
                           v.w * (w.w + offset));
    }

    // The four numbers from `4 * i` on.
    __device__ __forceinline__ float4 four_of(const float *row, unsigned i, float factor) const {
        float4 v = reinterpret_cast<const float4 *>(row)[i];
        if (weight == nullptr) {
            return v;
        }
        return weighted(make_float4(v.x * factor, v.y * factor, v.z * factor, v.w * factor), i);
    }
};

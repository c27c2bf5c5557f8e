// Activations of gated feed-forward networks.
#pragma once

#include "common.cuh"

__device__ __forceinline__ float silu(float x) { return x / (1.0f + expf(-x)); }

// `x * (1 + erf(x / sqrt 2)) / 2`, by the complement, of which nothing is lost where the sum is small.
__device__ __forceinline__ float gelu(float x) { return x * erfcf(x * -0.70710678f) * 0.5f; }

// With (1 + tanh y) / 2 as the sigmoid of 2 y: sqrt(2 / pi), doubled, and 0.044715 times that.
__device__ __forceinline__ float gelu_tanh(float x) {
    float y = x * (1.5957691f + 0.071354816f * x * x);
    return x / (1.0f + expf(-y));
}

// By its number, as `src/linear/group.rs` counts them: from 1.
__device__ __forceinline__ float activate(unsigned activation, float x) {
    return activation == 1 ? silu(x) : activation == 2 ? gelu(x) : gelu_tanh(x);
}

// What every kernel uses. The same sources are compiled by nvcc for a device, and as C++ for the
// processor (`emulation.h`), which is how they are tested where there is no device.
//
// - A kernel is `extern "C" __global__ void name(…)`, followed by `EXPORT(name)`. Arguments are
//   pointers, `unsigned` and `float`.
// - Shared memory that the launch gives is `DYNAMIC_SHARED(type, name)`; it is aligned to 16 bytes.
// - 16-bit floats are kept as `uint16_t`, and converted here.
// - A kernel that may start while those before it still run calls `await_earlier_launches()`.
#pragma once

#include <stdint.h>

#ifdef PONDER_EMULATED
#include "emulation.h"
#else
#define EXPORT(name)
#define DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(given_shared)
extern __shared__ __align__(16) unsigned char given_shared[];
#endif

// From Hopper on, a kernel whose code has this starts as soon as there is room beside the one before it,
// so that nothing is idle between the two, and waits here until that one has ended and what it wrote can
// be read. The rule that every such kernel keeps:
//
// 1. Before this it touches nothing but its arguments, shared memory, and memory that no kernel writes:
//    weights, and what the host has uploaded.
// 2. Every thread that touches anything else calls this first, and so does some thread of every launch:
//    nobody returns before it. Then a kernel that has ended knows that all before it have, and the one
//    behind it may overwrite what any of them has read.
// 3. What kernels write is never read by `__ldg` or through `__restrict__`: such loads may be moved up.
//
// Where kernels run on the processor, all but the last is tested. Kernels without it start when all before
// them have ended. In `persistent.cuh` it means something else.
#ifdef PONDER_PERSISTENT
__device__ __forceinline__ void await_earlier_launches();
#elif !defined(PONDER_EMULATED)
__device__ __forceinline__ void await_earlier_launches() {
#if __CUDA_ARCH__ >= 900
    // The next kernel waits in the same way, so it may come as soon as there is room.
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
#endif

constexpr unsigned WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;
// In place of a number that there is not.
constexpr unsigned NONE = 0xffffffffu;

__device__ __forceinline__ float bf16_to_f32(uint16_t bits) {
    return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

// Rounds to nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ uint16_t f32_to_bf16(float value) {
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return static_cast<uint16_t>((bits >> 16) | 0x40u);
    }
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Two values in one word, the first in the lower half.
__device__ __forceinline__ unsigned pack_bf16(float first, float second) {
    return static_cast<unsigned>(f32_to_bf16(first)) | (static_cast<unsigned>(f32_to_bf16(second)) << 16);
}

#ifndef PONDER_EMULATED
__device__ __forceinline__ float f16_to_f32(uint16_t bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

// Rounds to nearest, ties to even.
__device__ __forceinline__ uint16_t f32_to_f16(float value) {
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

__device__ __forceinline__ float warp_sum(float value) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, step);
    }
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) {
        value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, step));
    }
    return value;
}

// The threads of a block copy a row of `width` numbers.
__device__ __forceinline__ void copy_row(const float *from, float *to, unsigned width) {
    unsigned n_fours = width % 4 == 0 ? width / 4 : 0;
    for (unsigned i = threadIdx.x; i < n_fours; i += blockDim.x) {
        reinterpret_cast<float4 *>(to)[i] = reinterpret_cast<const float4 *>(from)[i];
    }
    for (unsigned i = 4 * n_fours + threadIdx.x; i < width; i += blockDim.x) {
        to[i] = from[i];
    }
}

// Floats of eight bits, E4M3: a sign, four bits of exponent, three of fraction. There is no infinity;
// the largest number is 448, the smallest 2^-9, and all bits but the sign together are NaN.
//
// Devices from compute capability 8.9 on convert by an instruction; what it does is written out for
// the others.
#pragma once

#include "common.cuh"

#if !defined(PONDER_EMULATED) && __CUDA_ARCH__ >= 890

// Rounds to nearest, ties to even; 448 stands for all beyond, NaN stays NaN.
__device__ __forceinline__ uint8_t f32_to_e4m3(float value) {
    uint16_t both;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(both) : "f"(0.0f), "f"(value));
    return static_cast<uint8_t>(both);
}

#else

__device__ __forceinline__ uint8_t f32_to_e4m3(float value) {
    unsigned sign = __float_as_uint(value) >> 24 & 0x80u;
    float magnitude = fabsf(value);
    if (!(magnitude <= 448.0f)) {
        return static_cast<uint8_t>(sign | (magnitude > 448.0f ? 0x7eu : 0x7fu));
    }
    if (magnitude < 0x1p-6f) {
        // A step is 2^-9; eight of them are the first number with a full fraction.
        return static_cast<uint8_t>(sign | static_cast<unsigned>(rintf(magnitude * 512.0f)));
    }
    unsigned bits = __float_as_uint(magnitude);
    unsigned rounded = bits + 0x7ffffu + (bits >> 20 & 1u);
    return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

#endif

// Products of two pairs of half precision.
__device__ __forceinline__ unsigned multiply_f16x2(unsigned a, unsigned b) {
#ifdef PONDER_EMULATED
    auto product = [](unsigned a, unsigned b) {
        return f32_to_f16(f16_to_f32(static_cast<uint16_t>(a)) * f16_to_f32(static_cast<uint16_t>(b)));
    };
    return static_cast<unsigned>(product(a >> 16, b >> 16)) << 16 | product(a, b);
#else
    unsigned product;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(product) : "r"(a), "r"(b));
    return product;
#endif
}

// The numbers of two bytes, the first in the lower one, as half precision, which has them all.
__device__ __forceinline__ unsigned e4m3x2_to_f16x2(unsigned both) {
#if !defined(PONDER_EMULATED) && __CUDA_ARCH__ >= 890
    unsigned numbers;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(numbers) : "h"(static_cast<uint16_t>(both)));
    return numbers;
#else
    unsigned bytes = __byte_perm(both, 0, 0x1404);
    unsigned magnitudes = bytes & 0x7f007f00u, signs = bytes & 0x80008000u;
    // A carry into the place of the sign is what NaN has alone.
    unsigned nan = (magnitudes + 0x01000100u) & 0x80008000u;
    // In their places of half precision the same bits mean a 256th.
    unsigned numbers = multiply_f16x2(magnitudes >> 1, 0x5c005c00u);
    return numbers | signs | (nan - (nan >> 6));
#endif
}

__device__ __forceinline__ float e4m3_to_f32(uint8_t bits) {
    return f16_to_f32(static_cast<uint16_t>(e4m3x2_to_f16x2(bits)));
}

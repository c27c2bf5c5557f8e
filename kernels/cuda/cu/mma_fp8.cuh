// Products of floats of eight bits (E4M3) on tensor cores. Fragments are those of `mma_bf16`, with four
// numbers in a word in place of two.
//
// Compute capabilities 9.0 and 10.0 have such products in other instructions only: what is asked for here
// they do in half precision, number by number, so that nobody asks there.
#pragma once

#include "mma.cuh"

#if defined(PONDER_EMULATED)
constexpr bool MULTIPLIES_FP8 = true;
#elif defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
constexpr bool MULTIPLIES_FP8 = true;
#else
constexpr bool MULTIPLIES_FP8 = false;
#endif

#ifndef PONDER_EMULATED

// d[16, 8] += a[16, 32] @ b[32, 8], E4M3 in, float32 out; `a` row by row, `b` column by column. Sums have
// fewer bits than float32 within the instruction, so that they should not become long.
__device__ __forceinline__ void mma_e4m3(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 890
    asm volatile("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

#endif

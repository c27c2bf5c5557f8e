// Products of floats of four bits (E2M1) and of eight (E4M3) on tensor cores, each with a power of two for
// 32 values: MXFP4 and MXFP8. Compute capability 12.x has them for single warps, in code that is made for
// that family alone. That of 10.0 multiplies them out of a memory of its own, which takes another kernel:
// there weights are widened.
#pragma once

#include "mma.cuh"

#if defined(PONDER_EMULATED)
constexpr bool MULTIPLIES_MX = true;
#elif defined(__CUDA_ARCH_FAMILY_SPECIFIC__)
constexpr bool MULTIPLIES_MX = __CUDA_ARCH_FAMILY_SPECIFIC__ >= 1200 && __CUDA_ARCH_FAMILY_SPECIFIC__ < 1300;
#else
constexpr bool MULTIPLIES_MX = false;
#endif

#ifndef PONDER_EMULATED

// d[16, 8] += (a[16, 32] * 2^(a_scale[16] - 127)) @ (b[32, 8] * 2^(b_scale[8] - 127)), float32 out. Fragments
// are those of `mma_e4m3`; a number of `a` stands in the middle of its byte, from bit 2 on. Scales are the
// lowest bytes of words: lane `l` has that of row `l / 4 + 8 * (l % 2)`, and that of column `l / 4`. (Half of
// the lanes would do for the rows, and a quarter for the columns.)
__device__ __forceinline__ void mma_mx(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                       unsigned a_scale, unsigned b_scale) {
#if defined(__CUDA_ARCH_FAMILY_SPECIFIC__) && __CUDA_ARCH_FAMILY_SPECIFIC__ >= 1200 &&                     \
    __CUDA_ARCH_FAMILY_SPECIFIC__ < 1300
    // Behind each scale: which byte of the word, and which lanes of four have it.
    asm volatile("mma.sync.aligned.kind::mxf8f6f4.block_scale.scale_vec::1X.m16n8k32.row.col"
                 ".f32.e2m1.e4m3.f32.ue8m0 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3}, {%10}, {0,0}, {%11}, {0,0};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(a_scale), "r"(b_scale));
#endif
}

#endif

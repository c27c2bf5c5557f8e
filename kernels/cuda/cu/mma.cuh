// Tensor cores and asynchronous copies. Fragments lie as the PTX manual says (mma.m16n8k16): lane
// `l` has row `l / 4` and the pair of columns `2 * (l % 4)`.
#pragma once

#include "common.cuh"

// Two finite floats, rounded, in one word: one instruction, where there is one.
__device__ __forceinline__ unsigned round_pair_to_bf16(float first, float second) {
#if !defined(PONDER_EMULATED) && __CUDA_ARCH__ >= 800
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
#else
    return pack_bf16(first, second);
#endif
}

#ifndef PONDER_EMULATED

#if __CUDA_ARCH__ >= 800

// d[16, 8] += a[16, 16] @ b[16, 8], bfloat16 in, float32 out; `a` row by row, `b` column by column.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Sixteen bytes from global to shared memory; both aligned to 16. Nothing is read where `is_there` is
// false: zeros are written.
__device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool is_there) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    int n = is_there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(n) : "memory");
}

__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until `N` groups at most are under way.
template <int N> __device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#else

// Devices before Ampere have no bfloat16 in their tensor cores: the same sums, lane by lane.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    unsigned lane = threadIdx.x % WARP;
    for (unsigned k = 0; k < 16; k += 2) {
        // Columns k and k + 1 of `a` are in lane 4 * row + (k % 8) / 2, `b` likewise by column.
        unsigned quarter = (k % 8) / 2, half = k / 8;
        unsigned upper = __shfl_sync(ALL_LANES, half ? a[2] : a[0], (lane / 4) * 4 + quarter);
        unsigned lower = __shfl_sync(ALL_LANES, half ? a[3] : a[1], (lane / 4) * 4 + quarter);
        for (unsigned i = 0; i < 2; i++) {
            unsigned column = __shfl_sync(ALL_LANES, b[half], (2 * (lane % 4) + i) * 4 + quarter);
            float first = __uint_as_float(column << 16), second = __uint_as_float(column & 0xffff0000u);
            d[i] += __uint_as_float(upper << 16) * first + __uint_as_float(upper & 0xffff0000u) * second;
            d[2 + i] += __uint_as_float(lower << 16) * first + __uint_as_float(lower & 0xffff0000u) * second;
        }
    }
}

__device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool is_there) {
    *static_cast<uint4 *>(shared) = is_there ? *static_cast<const uint4 *>(global) : make_uint4(0, 0, 0, 0);
}

__device__ __forceinline__ void commit_copies() {}

template <int N> __device__ __forceinline__ void wait_copies() {}

#endif

// Four 8x8 tiles of 16-bit values; lane `l` gives the address of row `l % 8` of tile `l / 8`.
__device__ __forceinline__ void load_tiles(unsigned (&tiles)[4], const void *row) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(address));
}

// The same tiles, transposed.
__device__ __forceinline__ void load_tiles_transposed(unsigned (&tiles)[4], const void *row) {
    unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(tiles[0]), "=r"(tiles[1]), "=r"(tiles[2]), "=r"(tiles[3])
                 : "r"(address));
}

#endif

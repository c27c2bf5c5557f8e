// Work that blocks share out, and that the last of them to finish puts together.
#pragma once

#include "common.cuh"

// Whether this block is the last of `n` that come to `counter`, which is 0 before the first of them
// and 0 again behind the last. What the others have written is then there to be read, past the
// first-level cache: through `volatile`.
__device__ __forceinline__ bool is_last_of(unsigned n, unsigned *counter) {
    __shared__ unsigned n_before;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        n_before = atomicAdd(counter, 1u);
        if (n_before == n - 1) {
            *counter = 0;
        }
        __threadfence();
    }
    __syncthreads();
    return n_before == n - 1;
}

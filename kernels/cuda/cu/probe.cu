// What a device can do at most: reading memory, and products on operands that stay in registers.
#include "mma_f16.cuh"

// Adds up all words, so that none of them can be left unread.
extern "C" __global__ void probe_read(const uint4 *from, unsigned n, unsigned *sum) {
    unsigned stride = gridDim.x * blockDim.x, total = 0;
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    // Four reads of a thread are under way at a time.
    for (; i + 3 * stride < n; i += 4 * stride) {
        uint4 a = from[i], b = from[i + stride], c = from[i + 2 * stride], d = from[i + 3 * stride];
        total += a.x + a.y + a.z + a.w + b.x + b.y + b.z + b.w;
        total += c.x + c.y + c.z + c.w + d.x + d.y + d.z + d.w;
    }
    for (; i < n; i += stride) {
        uint4 a = from[i];
        total += a.x + a.y + a.z + a.w;
    }
    for (unsigned step = WARP / 2; step > 0; step /= 2) {
        total += __shfl_xor_sync(ALL_LANES, total, step);
    }
    if (threadIdx.x % WARP == 0) {
        atomicAdd(sum, total);
    }
}
EXPORT(probe_read)

// Products that do not wait for each other: more than a tensor core takes to begin the first again.
constexpr unsigned PROBE_PRODUCTS = 8;

// The type that products of models have on the device: half precision before Ampere.
__device__ __forceinline__ void probe_product(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(PONDER_EMULATED) || __CUDA_ARCH__ >= 800
    mma_bf16(d, a, b);
#else
    mma_f16(d, a, b);
#endif
}

// `operands` holds a word of each lane for the four registers of one `a`, then for the two of each `b`.
// Every thread writes the sum of its part of all products.
extern "C" __global__ void probe_products(const unsigned *operands, unsigned n_rounds, float *out) {
    unsigned lane = threadIdx.x % WARP;
    unsigned a[4], b[PROBE_PRODUCTS][2];
    for (unsigned i = 0; i < 4; i++) {
        a[i] = operands[i * WARP + lane];
    }
    float d[PROBE_PRODUCTS][4];
#pragma unroll
    for (unsigned n = 0; n < PROBE_PRODUCTS; n++) {
        for (unsigned i = 0; i < 2; i++) {
            b[n][i] = operands[(4 + 2 * n + i) * WARP + lane];
        }
        for (unsigned i = 0; i < 4; i++) {
            d[n][i] = 0.0f;
        }
    }
    for (unsigned round = 0; round < n_rounds; round++) {
#pragma unroll
        for (unsigned n = 0; n < PROBE_PRODUCTS; n++) {
            probe_product(d[n], a, b[n]);
        }
    }
    float sum = 0.0f;
#pragma unroll
    for (unsigned n = 0; n < PROBE_PRODUCTS; n++) {
        sum += d[n][0] + d[n][1] + d[n][2] + d[n][3];
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
EXPORT(probe_products)

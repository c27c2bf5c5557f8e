// What a device can do at most: reading memory, and products on operands that stay in registers, or, of
// warpgroups, in shared memory.
#include "mma_f16.cuh"
#include "warpgroup.cuh"

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

#ifdef HAS_WARPGROUPS

constexpr unsigned PROBE_GROUPS = 2, PROBE_COLUMNS = 256;
constexpr unsigned PROBE_TILES = PROBE_GROUPS + PROBE_COLUMNS / TILE_ROWS;
// How often a tile is multiplied before sums are waited for; meanwhile the other warpgroup's go on.
constexpr unsigned PROBE_TIMES = 4;

// `tiles` holds a tile of rows for each warpgroup, then those of the columns, as they lie in shared
// memory. Every thread writes the sum of its part of all products.
extern "C" __global__ void __launch_bounds__(PROBE_GROUPS *WARPGROUP)
    probe_warpgroups(const uint4 *tiles, unsigned n_rounds, float *out) {
    DYNAMIC_SHARED(unsigned char, shared);
    unsigned char *first = shared + (1024 - shared_address(shared) % 1024) % 1024;
    for (unsigned i = threadIdx.x; i < PROBE_TILES * TILE_BYTES / 16; i += blockDim.x) {
        reinterpret_cast<uint4 *>(first)[i] = tiles[i];
    }
    show_shared_writes();
    __syncthreads();
    uint64_t left = tile_descriptor(first + threadIdx.x / WARPGROUP * TILE_BYTES);
    uint64_t right = tile_descriptor(first + PROBE_GROUPS * TILE_BYTES);
    float sums[PROBE_COLUMNS / 2];
#pragma unroll
    for (unsigned i = 0; i < PROBE_COLUMNS / 2; i++) {
        sums[i] = 0.0f;
    }
    for (unsigned round = 0; round < n_rounds; round++) {
        fence_products();
#pragma unroll
        for (unsigned k = 0; k < PROBE_TIMES * STEP / 16; k++) {
            // A descriptor counts in sixteens of bytes.
            unsigned at = k % (STEP / 16) * 2;
            multiply_tiles<PROBE_COLUMNS>(sums, left + at, right + at, true);
        }
        commit_products();
        wait_products<0>();
    }
    float sum = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < PROBE_COLUMNS / 2; i++) {
        sum += sums[i];
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}
EXPORT(probe_warpgroups)

#endif

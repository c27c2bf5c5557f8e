// Tensor cores, tiles and asynchronous copies.
#include "../common.cuh"
#include "../mma.cuh"
#include "../mma_fp8.cuh"
#include "../mma_mx.cuh"

__device__ __forceinline__ unsigned pair_of(const uint16_t *matrix, unsigned at, unsigned stride) {
    return static_cast<unsigned>(matrix[at]) | (static_cast<unsigned>(matrix[at + stride]) << 16);
}

// d[16, 8] = c[16, 8] + a[16, 16] @ b[16, 8], rows of each one after the other.
template <typename Multiply>
__device__ __forceinline__ void product(const uint16_t *a, const uint16_t *b, const float *c, float *d,
                                        Multiply multiply) {
    unsigned lane = threadIdx.x, group = lane / 4, pair = 2 * (lane % 4);
    unsigned left[4] = {pair_of(a, group * 16 + pair, 1), pair_of(a, (group + 8) * 16 + pair, 1),
                        pair_of(a, group * 16 + pair + 8, 1), pair_of(a, (group + 8) * 16 + pair + 8, 1)};
    unsigned right[2] = {pair_of(b, pair * 8 + group, 8), pair_of(b, (pair + 8) * 8 + group, 8)};
    float sums[4];
    for (unsigned i = 0; i < 4; i++) {
        sums[i] = c[(group + 8 * (i / 2)) * 8 + pair + i % 2];
    }
    multiply(sums, left, right);
    for (unsigned i = 0; i < 4; i++) {
        d[(group + 8 * (i / 2)) * 8 + pair + i % 2] = sums[i];
    }
}

struct MultiplyBf16 {
    __device__ void operator()(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        mma_bf16(d, a, b);
    }
};

extern "C" __global__ void test_product_bf16(const uint16_t *a, const uint16_t *b, const float *c, float *d) {
    product(a, b, c, d, MultiplyBf16());
}
EXPORT(test_product_bf16)

struct MultiplyF16 {
    __device__ void operator()(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
        mma_f16(d, a, b);
    }
};

extern "C" __global__ void test_product_f16(const uint16_t *a, const uint16_t *b, const float *c, float *d) {
    product(a, b, c, d, MultiplyF16());
}
EXPORT(test_product_f16)

__device__ __forceinline__ unsigned four_of(const uint8_t *matrix, unsigned at, unsigned stride) {
    unsigned four = 0;
    for (unsigned i = 0; i < 4; i++) {
        four |= static_cast<unsigned>(matrix[at + i * stride]) << (8 * i);
    }
    return four;
}

// d[16, 8] = c[16, 8] + a[16, 32] @ b[32, 8] of numbers of eight bits; or, where there are powers of two of
// the rows of `a` and of the columns of `b`, of four bits and eight.
extern "C" __global__ void test_product_fp8(const uint8_t *a, const uint8_t *b, const uint8_t *a_powers,
                                            const uint8_t *b_powers, const float *c, float *d) {
    unsigned lane = threadIdx.x, group = lane / 4, first = 4 * (lane % 4);
    unsigned left[4] = {four_of(a, group * 32 + first, 1), four_of(a, (group + 8) * 32 + first, 1),
                        four_of(a, group * 32 + first + 16, 1), four_of(a, (group + 8) * 32 + first + 16, 1)};
    unsigned right[2] = {four_of(b, first * 8 + group, 8), four_of(b, (first + 16) * 8 + group, 8)};
    unsigned pair = 2 * (lane % 4);
    float sums[4];
    for (unsigned i = 0; i < 4; i++) {
        sums[i] = c[(group + 8 * (i / 2)) * 8 + pair + i % 2];
    }
    if (a_powers != nullptr) {
        // What is no power is in lanes whose words nobody reads, and in bytes.
        unsigned a_power = lane % 4 < 2 ? a_powers[group + 8 * (lane % 2)] : 0xffu;
        unsigned b_power = lane % 4 == 0 ? b_powers[group] : 0xffu;
        mma_mx(sums, left, right, a_power | 0xffffff00u, b_power | 0xffffff00u);
    } else {
        mma_e4m3(sums, left, right);
    }
    for (unsigned i = 0; i < 4; i++) {
        d[(group + 8 * (i / 2)) * 8 + pair + i % 2] = sums[i];
    }
}
EXPORT(test_product_fp8)

// Four tiles of 8 rows of 8 values, one below the other; out: [32][4] as they are, then transposed.
extern "C" __global__ void test_tiles(const uint16_t *values, unsigned *out) {
    __shared__ __align__(16) uint16_t shared[32][8];
    unsigned lane = threadIdx.x;
    for (unsigned i = 0; i < 8; i++) {
        shared[lane][i] = values[lane * 8 + i];
    }
    __syncwarp();
    unsigned tiles[4];
    load_tiles(tiles, shared[lane]);
    for (unsigned i = 0; i < 4; i++) {
        out[lane * 4 + i] = tiles[i];
    }
    load_tiles_transposed(tiles, shared[lane]);
    for (unsigned i = 0; i < 4; i++) {
        out[128 + lane * 4 + i] = tiles[i];
    }
}
EXPORT(test_tiles)

// Three groups of copies of four values each; what is there after each wait. One thread.
// out: [4][12]
extern "C" __global__ void test_copies(const unsigned *from, unsigned *out, unsigned is_there) {
    __shared__ __align__(16) unsigned shared[12];
    for (unsigned i = 0; i < 12; i++) {
        shared[i] = 1;
    }
    for (unsigned i = 0; i < 12; i += 4) {
        copy_async_16(shared + i, from + i, is_there != 0);
        commit_copies();
    }
    for (unsigned i = 0; i < 12; i++) {
        out[i] = shared[i];
    }
    wait_copies<2>();
    for (unsigned i = 0; i < 12; i++) {
        out[12 + i] = shared[i];
    }
    wait_copies<1>();
    for (unsigned i = 0; i < 12; i++) {
        out[24 + i] = shared[i];
    }
    wait_copies<0>();
    for (unsigned i = 0; i < 12; i++) {
        out[36 + i] = shared[i];
    }
}
EXPORT(test_copies)

// A pipeline over tiles of a value quadruple for each thread, as many stages deep as there are
// groups under way; each thread adds what its neighbour copied.
extern "C" __global__ void test_pipeline(const float *from, float *sums, unsigned n_tiles,
                                         unsigned has_barrier) {
    constexpr unsigned STAGES = 3;
    __shared__ float4 shared[STAGES][64];
    unsigned thread = threadIdx.x;
    for (unsigned tile = 0; tile < STAGES - 1; tile++) {
        copy_async_16(&shared[tile][thread], from + (tile * 64 + thread) * 4, tile < n_tiles);
        commit_copies();
    }
    float sum = 0.0f;
    for (unsigned tile = 0; tile < n_tiles; tile++) {
        wait_copies<STAGES - 2>();
        if (has_barrier) {
            __syncthreads();
        }
        unsigned ahead = tile + STAGES - 1;
        copy_async_16(&shared[ahead % STAGES][thread], from + (ahead * 64 + thread) * 4, ahead < n_tiles);
        commit_copies();
        float4 value = shared[tile % STAGES][(thread + 1) % 64];
        sum += value.x + value.y + value.z + value.w;
    }
    sums[thread] = sum;
}
EXPORT(test_pipeline)

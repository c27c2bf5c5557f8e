// Barriers, copies of tiles, and products of warpgroups.
#include "../common.cuh"
#include "../warpgroup.cuh"

// The shared memory of a launch, from where a tile may begin.
__device__ __forceinline__ unsigned char *first_tile(unsigned char *shared) {
    return shared + (1024 - shared_address(shared) % 1024) % 1024;
}

// Copies a tile; what is there at once, and when it has come. out: [2][64 rows][32 words]
extern "C" __global__ void test_tile(const __grid_constant__ TensorMap map, unsigned *out, unsigned column,
                                     unsigned row, unsigned is_published) {
    DYNAMIC_SHARED(unsigned char, shared);
    unsigned char *tile = first_tile(shared);
    uint64_t *barrier = reinterpret_cast<uint64_t *>(tile + TILE_BYTES);
    if (threadIdx.x == 0) {
        init_barrier(barrier, 1);
        if (is_published) {
            publish_barriers();
        }
    }
    __syncthreads();
    const unsigned *words = reinterpret_cast<const unsigned *>(tile);
    if (threadIdx.x == 0) {
        arrive_expecting(barrier, TILE_BYTES);
        copy_tile_async(tile, map, column, row, barrier);
        for (unsigned i = 0; i < TILE_BYTES / 4; i++) {
            out[i] = words[i];
        }
    }
    wait_for_phase(barrier, 0);
    for (unsigned i = threadIdx.x; i < TILE_BYTES / 4; i += blockDim.x) {
        out[TILE_BYTES / 4 + i] = words[i];
    }
}
EXPORT(test_tile)

// Two phases of a barrier for which all threads arrive; thread 0 expects eight bytes that do not come
// where `n_bytes` says so, and arrives once more than it may where `n_more` does.
extern "C" __global__ void test_phases(unsigned *out, unsigned n_bytes, unsigned n_more) {
    DYNAMIC_SHARED(uint64_t, barrier);
    if (threadIdx.x == 0) {
        init_barrier(barrier, blockDim.x);
    }
    __syncthreads();
    // For a new barrier the phase before the first one is over.
    wait_for_phase(barrier, 1);
    for (unsigned phase = 0; phase < 2; phase++) {
        atomicAdd(out + phase, 1u);
        if (threadIdx.x == 0) {
            for (unsigned i = 0; i < n_more; i++) {
                arrive_expecting(barrier, 8);
            }
            arrive_expecting(barrier, n_bytes);
        } else {
            arrive(barrier);
        }
        wait_for_phase(barrier, phase);
        if (atomicAdd(out + phase, 0u) != blockDim.x) {
            atomicAdd(out + 2, 1u);
        }
    }
}
EXPORT(test_phases)

// What a test leaves out.
constexpr unsigned NO_SHOWING = 1, NO_FENCE = 2, NO_WAITING = 4;

// sums[64, N] = left[64, 64] @ right[N, 64]ᵀ, + before[64, N] where `adds`. In tiles of 128 bytes a row, or
// `is_plain`: sixteen values at a time, without a pattern. [N / 2] numbers of each thread.
template <unsigned N>
__device__ __forceinline__ void product(const uint16_t *left, const uint16_t *right, const float *before,
                                        float *out, unsigned adds, unsigned is_plain, unsigned faults) {
    DYNAMIC_SHARED(unsigned char, shared);
    unsigned char *left_tile = first_tile(shared), *right_tile = left_tile + TILE_BYTES;
    auto bring = [&](const uint16_t *from, unsigned char *to, unsigned n_rows) {
        for (unsigned i = threadIdx.x; i < n_rows * 8; i += WARPGROUP) {
            unsigned row = i / 8, chunk = i % 8;
            // Without a pattern eight rows of a chunk follow each other, then come those of the next chunk.
            unsigned char *place =
                is_plain ? to + row / 8 * 1024 + chunk * 128 + row % 8 * 16 : swizzled_chunk(to, row, chunk);
            *reinterpret_cast<uint4 *>(place) = *reinterpret_cast<const uint4 *>(from + i * 8);
        }
    };
    bring(left, left_tile, 64);
    bring(right, right_tile, N);
    if (!(faults & NO_SHOWING)) {
        show_shared_writes();
    }
    __syncthreads();
    unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    auto place_of = [&](unsigned i) {
        unsigned row = 16 * warp + lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
        return row * N + column;
    };
    float sums[N / 2];
    for (unsigned i = 0; i < N / 2; i++) {
        sums[i] = before[place_of(i)];
    }
    auto descriptor = [&](const unsigned char *tile, unsigned k) {
        constexpr uint64_t CHUNKS = 128, ROWS = 1024;
        uint64_t start = (shared_address(tile) + k / 8 * CHUNKS) / 16;
        return is_plain ? start | CHUNKS / 16 << 16 | ROWS / 16 << 32 : tile_descriptor(tile) + k / 8;
    };
    if (!(faults & NO_FENCE)) {
        fence_products();
    }
    for (unsigned k = 0; k < STEP; k += 16) {
        multiply_tiles<N>(sums, descriptor(left_tile, k), descriptor(right_tile, k), adds || k > 0);
        commit_products();
    }
    if (!(faults & NO_WAITING)) {
        wait_products<0>();
    } else {
        wait_products<1>();
    }
    for (unsigned i = 0; i < N / 2; i++) {
        out[place_of(i)] = sums[i];
    }
    wait_products<0>();
}

extern "C" __global__ void test_warpgroup_128(const uint16_t *left, const uint16_t *right,
                                              const float *before, float *out, unsigned adds,
                                              unsigned is_plain, unsigned faults) {
    product<128>(left, right, before, out, adds, is_plain, faults);
}
EXPORT(test_warpgroup_128)

extern "C" __global__ void test_warpgroup_256(const uint16_t *left, const uint16_t *right,
                                              const float *before, float *out, unsigned adds,
                                              unsigned is_plain, unsigned faults) {
    product<256>(left, right, before, out, adds, is_plain, faults);
}
EXPORT(test_warpgroup_256)

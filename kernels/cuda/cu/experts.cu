// Mixture of experts, but for the products: who works on which rows, and what they say together.
//
// A pair is a row and one of the experts that it chose: pair `row * top_k + k`. The products read what
// is written here as `columns.cuh` says.
#include "common.cuh"

constexpr float TAKEN = -1.0f;
constexpr unsigned MAX_TOP_K = 32;

// The better of two shares, of equals the first expert's.
__device__ __forceinline__ void take_better(float &share, unsigned &expert, float other,
                                            unsigned other_expert) {
    if (other > share || (other == share && other_expert < expert)) {
        share = other;
        expert = other_expert;
    }
}

// A warp for each row: softmax over the logits of all experts, then the best `top_k` of them, best
// first. With `normalize` their shares add up to 1. A row that is no number chooses the first experts.
// If there are `tiles`, each pair is one of its own.
extern "C" __global__ void route(const float *logits, unsigned *experts, float *shares, uint4 *tiles,
                                 unsigned n_rows, unsigned n_experts, unsigned top_k, unsigned normalize) {
    await_earlier_launches();
    DYNAMIC_SHARED(float, all);
    unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned row = blockIdx.x * (blockDim.x / WARP) + warp;
    if (row >= n_rows) {
        return;
    }
    const float *from = logits + size_t(row) * n_experts;
    float *own = all + warp * n_experts;
    float largest = -INFINITY, sum = 0.0f;
    for (unsigned i = lane; i < n_experts; i += WARP) {
        largest = fmaxf(largest, from[i]);
    }
    largest = warp_max(largest);
    for (unsigned i = lane; i < n_experts; i += WARP) {
        own[i] = expf(from[i] - largest);
        sum += own[i];
    }
    sum = warp_sum(sum);
    for (unsigned i = lane; i < n_experts; i += WARP) {
        own[i] /= sum;
    }
    float chosen_sum = 0.0f;
    for (unsigned k = 0; k < top_k; k++) {
        float share = TAKEN;
        unsigned expert = NONE;
        for (unsigned i = lane; i < n_experts; i += WARP) {
            if (own[i] != TAKEN) {
                take_better(share, expert, own[i] >= 0.0f ? own[i] : 0.0f, i);
            }
        }
        for (unsigned step = WARP / 2; step > 0; step /= 2) {
            float other = __shfl_xor_sync(ALL_LANES, share, step);
            unsigned other_expert = __shfl_xor_sync(ALL_LANES, expert, step);
            take_better(share, expert, other, other_expert);
        }
        // The lane that has read this expert's share is the only one that will.
        if (expert % WARP == lane) {
            unsigned pair = row * top_k + k;
            shares[pair] = own[expert];
            experts[pair] = expert;
            own[expert] = TAKEN;
            if (tiles) {
                tiles[pair] = make_uint4(expert, pair, 1, 0);
            }
        }
        chosen_sum += share;
    }
    __syncwarp();
    if (normalize != 0 && lane == 0) {
        for (unsigned k = 0; k < top_k; k++) {
            shares[size_t(row) * top_k + k] /= chosen_sum;
        }
    }
}
EXPORT(route)

// A block for each expert, which puts its pairs behind those of the experts before it, in their order:
// `order` says which pair is at a place. Cuts them into tiles of up to `size` (see `columns.cuh`); the
// last expert's block empties those of the `n_tiles` that nobody needs. Shared memory has a counter for
// each expert.
extern "C" __global__ void group_by_expert(const unsigned *experts, unsigned *order, uint4 *tiles,
                                           unsigned n_pairs, unsigned size, unsigned n_tiles) {
    await_earlier_launches();
    DYNAMIC_SHARED(unsigned, counts);
    __shared__ unsigned own[WARP], pairs_before, tiles_before;
    unsigned expert = blockIdx.x, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned n_experts = gridDim.x, n_warps = blockDim.x / WARP;
    for (unsigned i = threadIdx.x; i < n_experts; i += blockDim.x) {
        counts[i] = 0;
    }
    if (threadIdx.x == 0) {
        pairs_before = tiles_before = 0;
    }
    __syncthreads();
    // Each warp has a stretch of the pairs.
    unsigned stretch = (n_pairs + n_warps - 1) / n_warps;
    unsigned begin = min(warp * stretch, n_pairs), end = min(begin + stretch, n_pairs);
    unsigned n_own = 0;
    for (unsigned first = begin; first < end; first += WARP) {
        unsigned chosen = first + lane < end ? experts[first + lane] : NONE;
        if (chosen != NONE) {
            atomicAdd(counts + chosen, 1u);
        }
        n_own += __popc(__ballot_sync(ALL_LANES, chosen == expert));
    }
    if (lane == 0) {
        own[warp] = n_own;
    }
    __syncthreads();
    unsigned n_pairs_before = 0, n_tiles_before = 0;
    for (unsigned i = threadIdx.x; i < expert; i += blockDim.x) {
        n_pairs_before += counts[i];
        n_tiles_before += (counts[i] + size - 1) / size;
    }
    if (n_pairs_before > 0) {
        atomicAdd(&pairs_before, n_pairs_before);
        atomicAdd(&tiles_before, n_tiles_before);
    }
    __syncthreads();
    unsigned n = counts[expert], offset = pairs_before, first_tile = tiles_before;
    unsigned next_tile = first_tile + (n + size - 1) / size;
    unsigned last_tile = expert + 1 == n_experts ? n_tiles : next_tile;
    for (unsigned i = first_tile + threadIdx.x; i < last_tile; i += blockDim.x) {
        unsigned first = (i - first_tile) * size;
        tiles[i] = i < next_tile ? make_uint4(expert, offset + first, min(n - first, size), 0)
                                 : make_uint4(0, 0, 0, 0);
    }
    unsigned place = offset;
    for (unsigned i = 0; i < warp; i++) {
        place += own[i];
    }
    for (unsigned first = begin; first < end; first += WARP) {
        unsigned pair = first + lane;
        bool is_own = pair < end && experts[pair] == expert;
        unsigned all = __ballot_sync(ALL_LANES, is_own);
        if (is_own) {
            order[place + __popc(all & ((1u << lane) - 1u))] = pair;
        }
        place += __popc(all);
    }
}
EXPORT(group_by_expert)

// A block for each row: what its pairs say, by their shares, summed in the order of the experts; with
// `adds` on top of what is there.
extern "C" __global__ void sum_of_experts(const float *outputs, const unsigned *experts, const float *shares,
                                          float *out, unsigned width, unsigned top_k, unsigned adds) {
    await_earlier_launches();
    __shared__ unsigned sorted[MAX_TOP_K];
    __shared__ float sorted_shares[MAX_TOP_K];
    size_t first_pair = size_t(blockIdx.x) * top_k;
    if (threadIdx.x < top_k) {
        unsigned own = experts[first_pair + threadIdx.x], rank = 0;
        for (unsigned k = 0; k < top_k; k++) {
            rank += experts[first_pair + k] < own;
        }
        sorted[rank] = threadIdx.x;
        sorted_shares[rank] = shares[first_pair + threadIdx.x];
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        float sum = 0.0f;
        for (unsigned k = 0; k < top_k; k++) {
            sum += sorted_shares[k] * outputs[(first_pair + sorted[k]) * width + i];
        }
        float *to = out + size_t(blockIdx.x) * width + i;
        *to = adds ? *to + sum : sum;
    }
}
EXPORT(sum_of_experts)

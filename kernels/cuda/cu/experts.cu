// Mixture of experts, but for the products: who works on which rows, and what they say together.
//
// A pair is a row and one of the experts that it chose: pair `row * top_k + k`.
#include "common.cuh"

constexpr unsigned NONE = 0xffffffffu;
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
extern "C" __global__ void route(const float *logits, unsigned *experts, float *shares, unsigned n_rows,
                                 unsigned n_experts, unsigned top_k, unsigned normalize) {
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
            shares[size_t(row) * top_k + k] = own[expert];
            experts[size_t(row) * top_k + k] = expert;
            own[expert] = TAKEN;
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

// A block for each expert. Pairs sorted by expert, those of one expert by row: `order` says which pair
// is at a place, `places` where a pair is, `offsets` where an expert's pairs begin, and at last how
// many there are.
extern "C" __global__ void group_by_expert(const unsigned *experts, unsigned *order, unsigned *places,
                                           unsigned *offsets, unsigned n_pairs) {
    __shared__ unsigned before[WARP], own[WARP];
    unsigned expert = blockIdx.x, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned n_warps = blockDim.x / WARP;
    // Each warp has a stretch of the pairs.
    unsigned stretch = (n_pairs + n_warps - 1) / n_warps;
    unsigned begin = min(warp * stretch, n_pairs), end = min(begin + stretch, n_pairs);
    unsigned n_before = 0, n_own = 0;
    for (unsigned first = begin; first < end; first += WARP) {
        unsigned chosen = first + lane < end ? experts[first + lane] : NONE;
        n_before += __popc(__ballot_sync(ALL_LANES, chosen < expert));
        n_own += __popc(__ballot_sync(ALL_LANES, chosen == expert));
    }
    if (lane == 0) {
        before[warp] = n_before;
        own[warp] = n_own;
    }
    __syncthreads();
    unsigned offset = 0, n_earlier = 0, n_all = 0;
    for (unsigned i = 0; i < n_warps; i++) {
        offset += before[i];
        n_earlier += i < warp ? own[i] : 0;
        n_all += own[i];
    }
    if (threadIdx.x == 0) {
        offsets[expert] = offset;
        if (expert + 1 == gridDim.x) {
            offsets[expert + 1] = offset + n_all;
        }
    }
    unsigned place = offset + n_earlier;
    for (unsigned first = begin; first < end; first += WARP) {
        unsigned pair = first + lane;
        bool is_own = pair < end && experts[pair] == expert;
        unsigned all = __ballot_sync(ALL_LANES, is_own);
        if (is_own) {
            unsigned at = place + __popc(all & ((1u << lane) - 1u));
            order[at] = pair;
            places[pair] = at;
        }
        place += __popc(all);
    }
}
EXPORT(group_by_expert)

// A block for each place: the row of its pair.
extern "C" __global__ void gather_for_experts(const float *x, const unsigned *order, float *out,
                                              unsigned width, unsigned top_k) {
    copy_row(x + size_t(order[blockIdx.x] / top_k) * width, out + size_t(blockIdx.x) * width, width);
}
EXPORT(gather_for_experts)

// A block for each row: what its experts say, by their shares, summed in the order of the experts.
extern "C" __global__ void sum_of_experts(const float *outputs, const unsigned *places, const float *shares,
                                          float *out, unsigned width, unsigned top_k) {
    __shared__ unsigned sorted[MAX_TOP_K];
    __shared__ float sorted_shares[MAX_TOP_K];
    size_t first_pair = size_t(blockIdx.x) * top_k;
    if (threadIdx.x < top_k) {
        unsigned own = places[first_pair + threadIdx.x], rank = 0;
        for (unsigned k = 0; k < top_k; k++) {
            rank += places[first_pair + k] < own;
        }
        sorted[rank] = own;
        sorted_shares[rank] = shares[first_pair + threadIdx.x];
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        float sum = 0.0f;
        for (unsigned k = 0; k < top_k; k++) {
            sum += sorted_shares[k] * outputs[size_t(sorted[k]) * width + i];
        }
        out[size_t(blockIdx.x) * width + i] = sum;
    }
}
EXPORT(sum_of_experts)

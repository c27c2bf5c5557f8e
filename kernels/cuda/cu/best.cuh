// The best tokens of a row, found without sorting the others: all are counted by how far they are below
// the likeliest one, and those of the first bins are sorted.
#pragma once

#include "candidates.cuh"

// Stands for what is not there.
constexpr unsigned NOTHING = 0xffffffffu;
// Candidates that are sorted.
constexpr unsigned N_CANDIDATES = 2048;
// Bins that tokens are counted in by how far they are below the likeliest one: so many for each nat.
// They are as many as stretches of a row, whose sums take the same memory.
constexpr unsigned N_BINS = 1024, BINS_OF_NAT = 16;

__device__ __forceinline__ unsigned bin_of(float logit, float max) {
    float below = __fmul_rn(__fsub_rn(max, logit), static_cast<float>(BINS_OF_NAT));
    return below < static_cast<float>(N_BINS) ? static_cast<unsigned>(below) : N_BINS - 1;
}

// The last of the bins that are looked at, by one warp: as few as hold the best `top_k`, or without it
// as many as there is room for. NOTHING where that is too few. And the tokens in all bins.
__device__ __forceinline__ void choose_bins(const unsigned *bins, unsigned top_k, unsigned *last,
                                            unsigned *total) {
    constexpr unsigned OWN = N_BINS / WARP;
    unsigned lane = threadIdx.x, own = 0;
    for (unsigned i = 0; i < OWN; i++) {
        own += bins[lane * OWN + (i + lane) % OWN]; // Each lane in another bank.
    }
    unsigned end = own;
    for (unsigned step = 1; step < WARP; step *= 2) {
        unsigned other = __shfl_up_sync(ALL_LANES, end, step);
        end += lane >= step ? other : 0;
    }
    unsigned all = __shfl_sync(ALL_LANES, end, WARP - 1);
    unsigned wanted = top_k > 0 ? min(top_k, all) : N_CANDIDATES + 1;
    if (lane == 0) {
        *total = all;
    }
    if (all < wanted) {
        if (lane == 0) {
            *last = N_BINS - 1;
        }
        return;
    }
    unsigned n = end - own, bin = lane * OWN;
    if (n >= wanted || end < wanted) {
        return; // It is another lane's.
    }
    for (n += bins[bin]; n < wanted; n += bins[bin]) {
        bin++;
    }
    if (top_k > 0) {
        *last = n <= N_CANDIDATES ? bin : NOTHING;
    } else {
        *last = bin > 0 ? bin - 1 : NOTHING;
    }
}

// The best `top_k` of a row at least, or without it as many as there is room for, best first. Returns how
// many; NOTHING where there is no room. `n_possible` = the tokens that may come.
__device__ __forceinline__ unsigned find_best(const float *row, unsigned n_tokens, float max, unsigned top_k,
                                              Candidate *candidates, unsigned *bins, unsigned *n_possible) {
    __shared__ unsigned n_found, last_bin, n_counted;
    for (unsigned i = threadIdx.x; i < N_BINS; i += blockDim.x) {
        bins[i] = 0;
    }
    if (threadIdx.x == 0) {
        n_found = 0;
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < n_tokens; i += blockDim.x) {
        if (row[i] > -INFINITY) {
            atomicAdd(&bins[bin_of(row[i], max)], 1u);
        }
    }
    __syncthreads();
    if (threadIdx.x < WARP) {
        choose_bins(bins, top_k, &last_bin, &n_counted);
    }
    __syncthreads();
    unsigned last = last_bin;
    *n_possible = n_counted;
    if (last == NOTHING) {
        return NOTHING;
    }
    for (unsigned i = threadIdx.x; i < n_tokens; i += blockDim.x) {
        if (row[i] > -INFINITY && bin_of(row[i], max) <= last) {
            candidates[atomicAdd(&n_found, 1u)] = candidate(row[i], i);
        }
    }
    __syncthreads();
    unsigned n = n_found, padded = 1;
    while (padded < n) {
        padded *= 2;
    }
    for (unsigned i = n + threadIdx.x; i < padded; i += blockDim.x) {
        candidates[i] = NOBODY;
    }
    __syncthreads();
    sort(candidates, padded);
    return n;
}

// What is looked for in rows of logits: the best tokens.
//
// A candidate is one number of 64 bits: the logit, in an order that unsigned numbers have too, and
// below it the token, so that of equal logits the lower token is the larger number. No two are equal.
#include "arrival.cuh"

typedef unsigned long long Candidate;

// Worse than all.
constexpr Candidate NOBODY = 0;

// What is no number comes last, behind minus infinity; zeros are equal whatever their sign.
__device__ __forceinline__ Candidate candidate(float logit, unsigned token) {
    unsigned bits = __float_as_uint(logit == 0.0f ? 0.0f : logit);
    unsigned order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    order = logit == logit ? order : 0;
    return static_cast<Candidate>(order) << 32 | (~token & 0xffffffffu);
}

__device__ __forceinline__ unsigned token_of(Candidate candidate) {
    return ~static_cast<unsigned>(candidate);
}

__device__ __forceinline__ Candidate better(Candidate a, Candidate b) { return a > b ? a : b; }

__device__ __forceinline__ Candidate warp_best(Candidate own) {
    for (unsigned step = WARP / 2; step > 0; step /= 2) {
        unsigned upper = __shfl_xor_sync(ALL_LANES, static_cast<unsigned>(own >> 32), step);
        unsigned lower = __shfl_xor_sync(ALL_LANES, static_cast<unsigned>(own), step);
        own = better(own, static_cast<Candidate>(upper) << 32 | lower);
    }
    return own;
}

// The best that the threads of a block have.
__device__ __forceinline__ Candidate block_best(Candidate own) {
    __shared__ Candidate bests[WARP];
    own = warp_best(own);
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        bests[threadIdx.x / WARP] = own;
    }
    __syncthreads();
    for (unsigned warp = 0; warp < blockDim.x / WARP; warp++) {
        own = better(own, bests[warp]);
    }
    return own;
}

// The best token of each row: `gridDim.x` blocks share a row out, the last of them to finish writes.
extern "C" __global__ void argmax(const float *logits, unsigned *tokens, Candidate *parts, unsigned *counters,
                                  unsigned n_tokens) {
    unsigned row = blockIdx.y, n_parts = gridDim.x;
    const float *from = logits + size_t(row) * n_tokens;
    Candidate best = NOBODY;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n_tokens; i += n_parts * blockDim.x) {
        best = better(best, candidate(from[i], i));
    }
    best = block_best(best);
    if (threadIdx.x == 0) {
        parts[size_t(row) * n_parts + blockIdx.x] = best;
    }
    if (!is_last_of(n_parts, counters + row)) {
        return;
    }
    const volatile Candidate *all = parts + size_t(row) * n_parts;
    best = NOBODY;
    for (unsigned i = threadIdx.x; i < n_parts; i += blockDim.x) {
        best = better(best, all[i]);
    }
    best = block_best(best);
    if (threadIdx.x == 0) {
        tokens[row] = token_of(best);
    }
}
EXPORT(argmax)

constexpr unsigned SORTED = 2048;

// Sorts in shared memory, best first: compare and exchange over distances that halve, in runs that
// double.
__device__ __forceinline__ void sort(Candidate *all) {
    for (unsigned run = 2; run <= SORTED; run *= 2) {
        for (unsigned distance = run / 2; distance > 0; distance /= 2) {
            __syncthreads();
            for (unsigned i = threadIdx.x; i < SORTED / 2; i += blockDim.x) {
                unsigned low = 2 * i - i % distance, high = low + distance;
                bool is_falling = (low & run) == 0;
                Candidate a = all[low], b = all[high];
                if ((a < b) == is_falling) {
                    all[low] = b;
                    all[high] = a;
                }
            }
        }
    }
    __syncthreads();
}

// The best `k` of every 2048 logits of a row, best first; NOBODY where there are fewer.
extern "C" __global__ void best_logits(const float *logits, Candidate *out, unsigned n_tokens, unsigned k) {
    __shared__ Candidate all[SORTED];
    const float *from = logits + size_t(blockIdx.y) * n_tokens;
    for (unsigned i = threadIdx.x; i < SORTED; i += blockDim.x) {
        unsigned token = blockIdx.x * SORTED + i;
        all[i] = token < n_tokens ? candidate(from[token], token) : NOBODY;
    }
    sort(all);
    Candidate *to = out + (size_t(blockIdx.y) * gridDim.x + blockIdx.x) * k;
    for (unsigned i = threadIdx.x; i < k; i += blockDim.x) {
        to[i] = all[i];
    }
}
EXPORT(best_logits)

// The best `k` of every 2048 candidates of a row, of which there are `n`.
extern "C" __global__ void best_candidates(const Candidate *candidates, Candidate *out, unsigned n,
                                           unsigned k) {
    __shared__ Candidate all[SORTED];
    const Candidate *from = candidates + size_t(blockIdx.y) * n;
    for (unsigned i = threadIdx.x; i < SORTED; i += blockDim.x) {
        unsigned place = blockIdx.x * SORTED + i;
        all[i] = place < n ? from[place] : NOBODY;
    }
    sort(all);
    Candidate *to = out + (size_t(blockIdx.y) * gridDim.x + blockIdx.x) * k;
    for (unsigned i = threadIdx.x; i < k; i += blockDim.x) {
        to[i] = all[i];
    }
}
EXPORT(best_candidates)

// The tokens of each row's candidates and their logits, which are read again: their order alone does
// not tell zeros apart.
extern "C" __global__ void name_candidates(const float *logits, const Candidate *candidates, unsigned *tokens,
                                           float *values, unsigned n_tokens, unsigned k) {
    for (unsigned i = threadIdx.x; i < k; i += blockDim.x) {
        size_t place = size_t(blockIdx.x) * k + i;
        unsigned token = token_of(candidates[place]);
        tokens[place] = token;
        values[place] = logits[size_t(blockIdx.x) * n_tokens + token];
    }
}
EXPORT(name_candidates)

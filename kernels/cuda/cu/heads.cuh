// Queries, keys and values, head by head, on their way from products to attention.
#pragma once

#include "kv.cuh"

// A head of up to `DIM` dimensions in the registers of a warp: lane `l` has dimensions `l`, `l + 32` and
// so on, and zeros beyond the head.
template <unsigned DIM> struct Head {
    static constexpr unsigned CHUNKS = (DIM + WARP - 1) / WARP;
    float values[CHUNKS];

    __device__ __forceinline__ void load(const float *from, unsigned head_dim) {
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            unsigned dim = i * WARP + threadIdx.x % WARP;
            values[i] = dim < head_dim ? from[dim] : 0.0f;
        }
    }

    __device__ __forceinline__ void store(float *to, unsigned head_dim, float factor) const {
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            unsigned dim = i * WARP + threadIdx.x % WARP;
            if (dim < head_dim) {
                to[dim] = values[i] * factor;
            }
        }
    }

    __device__ __forceinline__ void normalize(const float *weight, unsigned head_dim, float eps,
                                              float offset) {
        float sum = 0.0f;
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            sum += values[i] * values[i];
        }
        float factor = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(head_dim) + eps);
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            unsigned dim = i * WARP + threadIdx.x % WARP;
            if (dim < head_dim) {
                values[i] *= factor * (weight[dim] + offset);
            }
        }
    }

    // Stores it in a format of the cache, as a token of a block.
    template <class Format>
    __device__ __forceinline__ void put(unsigned char *to, unsigned token, unsigned head_dim) const {
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            if (i * WARP < head_dim) {
                Format::put(to, token, i * WARP, head_dim, values[i]);
            }
        }
    }

    // Turns the first `2 * n_pairs` dimensions. `exchange` has room for a head.
    __device__ __forceinline__ void turn(const float2 *turns, unsigned n_pairs, bool interleaved,
                                         float *exchange) {
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            exchange[i * WARP + threadIdx.x % WARP] = values[i];
        }
        __syncwarp();
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            unsigned dim = i * WARP + threadIdx.x % WARP;
            if (dim >= 2 * n_pairs) {
                continue;
            }
            bool is_second = interleaved ? dim % 2 == 1 : dim >= n_pairs;
            unsigned pair = interleaved ? dim / 2 : (is_second ? dim - n_pairs : dim);
            unsigned partner = interleaved ? dim ^ 1u : (is_second ? pair : pair + n_pairs);
            float2 turn = turns[pair];
            float other = exchange[partner] * turn.y;
            values[i] = values[i] * turn.x + (is_second ? other : -other);
        }
    }
};

// What is done to queries and keys.
struct Recipe {
    const float *query_norm;
    const float *key_norm;
    float eps;
    float offset;
    // Of all rows; null where nothing turns.
    const float2 *turns;
    unsigned n_pairs;
    bool interleaved;
    // Factors of the queries.
    float scale;
    float growth;
    unsigned period;

    // What is done to a query (kind 0) or a key (1) of a row; values (2) stay as they are. `exchange` has
    // room for a head.
    template <unsigned DIM>
    __device__ __forceinline__ void apply(Head<DIM> &head, unsigned kind, unsigned row, unsigned head_dim,
                                          float *exchange) const {
        const float *norm = kind == 0 ? query_norm : kind == 1 ? key_norm : nullptr;
        if (norm != nullptr) {
            head.normalize(norm, head_dim, eps, offset);
        }
        if (turns != nullptr && kind < 2) {
            head.turn(turns + size_t(row) * n_pairs, n_pairs, interleaved, exchange);
        }
    }

    // `scale * (1 + growth * ln(1 + floor(position / period)))`, where queries grow.
    __device__ __forceinline__ float factor(unsigned position) const {
        return period == 0 ? scale : scale * (1.0f + growth * log1pf(static_cast<float>(position / period)));
    }
};

#define RECIPE_PARAMETERS                                                                          \
    const float *query_norm, const float *key_norm, float eps, float offset, const float2 *turns,  \
        unsigned n_pairs, unsigned interleaved, float scale, float growth, unsigned period

#define RECIPE                                                                                     \
    {query_norm, key_norm, eps, offset, turns, n_pairs, interleaved != 0, scale, growth, period}

// Queries, keys, or values of all rows.
struct Heads {
    const float *first;
    unsigned stride;

    __device__ __forceinline__ const float *head(unsigned row, unsigned head, unsigned head_dim) const {
        return first + size_t(row) * stride + head * head_dim;
    }
};

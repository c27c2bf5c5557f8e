// What all attention kernels are told.
#pragma once

#include "kv.cuh"
#include "step.cuh"

// Queries and outputs have a head after the other in each row, and rows as far apart as their strides
// say. Keys and values are those of a whole cache.
struct Layer {
    const float *queries;
    float *out;
    unsigned query_stride;
    unsigned out_stride;
    const Span *spans;
    const unsigned *blocks;
    const unsigned char *keys;
    const unsigned char *values;
    unsigned n_heads;
    unsigned n_kv_heads;
    unsigned head_dim;
    // A query sees this many keys, its own included.
    unsigned window;
    // For each head a score that takes its share of the softmax, without a value; or null.
    const float *sinks;

    // The first position that a query sees.
    __device__ __forceinline__ unsigned first_seen(unsigned position) const {
        return position >= window ? position + 1 - window : 0;
    }

    // The factor of a row's sum of weighted values, where weights are relative to the largest score and
    // add up to `total`.
    __device__ __forceinline__ float factor(unsigned head, float largest, float total) const {
        if (!sinks) {
            return 1.0f / total;
        }
        float base = fmaxf(largest, sinks[head]), own = expf(largest - base);
        return own / (total * own + expf(sinks[head] - base));
    }

    // Where the keys, or values, of a head begin in the cache.
    __device__ __forceinline__ size_t place(const Span &span, unsigned block, unsigned kv_head,
                                            size_t head_bytes) const {
        return (size_t(span.block(blocks, block)) * n_kv_heads + kv_head) * head_bytes;
    }
};

#define LAYER_PARAMETERS                                                                           \
    const float *queries, float *out, unsigned query_stride, unsigned out_stride,                  \
        const Span *spans, const unsigned *blocks, const unsigned char *keys,                      \
        const unsigned char *values, unsigned n_heads, unsigned n_kv_heads, unsigned head_dim,     \
        unsigned window, const float *sinks

#define LAYER                                                                                      \
    {                                                                                              \
        queries, out, query_stride, out_stride, spans, blocks, keys, values, n_heads, n_kv_heads,  \
            head_dim, window, sinks                                                                \
    }

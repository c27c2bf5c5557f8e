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

    // The first position that a query sees.
    __device__ __forceinline__ unsigned first_seen(unsigned position) const {
        return position >= window ? position + 1 - window : 0;
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
        unsigned window

#define LAYER                                                                                      \
    {                                                                                              \
        queries, out, query_stride, out_stride, spans, blocks, keys, values, n_heads, n_kv_heads,  \
            head_dim, window                                                                       \
    }

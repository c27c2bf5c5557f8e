// The kernels of one format of the cache, for heads of up to 64, 96, 128 and 256 dimensions.
#pragma once

#include "attention_decode.cuh"
#include "attention_prefill.cuh"

#define ATTENTION_PREFILL(name, Tile, DIM)                                                                   \
    extern "C" __global__ void __launch_bounds__(PREFILL_MAX_WARPS *WARP)                                   \
        name(const float *queries, float *out, unsigned query_stride, unsigned out_stride,                   \
             const unsigned *spans_of_step, const Span *spans, const BlockList *lists,                       \
             const unsigned *blocks, const unsigned char *keys, const unsigned char *values,                 \
             unsigned n_heads, unsigned n_kv_heads, unsigned head_dim, unsigned window, unsigned n_stages) { \
        attend_prefill<Tile, DIM>(queries, out, query_stride, out_stride, spans_of_step, spans, lists,       \
                                  blocks, keys, values, n_heads, n_kv_heads, head_dim, window, n_stages);    \
    }                                                                                                        \
    EXPORT(name)

#define ATTENTION_DECODE(name, Tile, DIM)                                                                    \
    extern "C" __global__ void __launch_bounds__(DECODE_MAX_WARPS *WARP)                                    \
        name(const float *queries, float *out, unsigned query_stride, unsigned out_stride,                   \
             const unsigned *spans_of_step, const Span *spans, const BlockList *lists,                       \
             const unsigned *blocks, const unsigned char *keys, const unsigned char *values,                 \
             unsigned n_heads, unsigned n_kv_heads, unsigned head_dim, unsigned window, unsigned budget,     \
             float *part_sums, RowState *part_states, unsigned part_rows, unsigned *counters) {              \
        attend_decode<Tile, DIM>(queries, out, query_stride, out_stride, spans_of_step, spans, lists,        \
                                 blocks, keys, values, n_heads, n_kv_heads, head_dim, window, budget,        \
                                 part_sums, part_states, part_rows, counters);                               \
    }                                                                                                        \
    EXPORT(name)

#define ATTENTION_KERNELS(format, Tile)                                                                      \
    ATTENTION_PREFILL(attention_prefill_##format##_64, Tile, 64)                                             \
    ATTENTION_PREFILL(attention_prefill_##format##_96, Tile, 96)                                             \
    ATTENTION_PREFILL(attention_prefill_##format##_128, Tile, 128)                                           \
    ATTENTION_PREFILL(attention_prefill_##format##_256, Tile, 256)                                           \
    ATTENTION_DECODE(attention_decode_##format##_64, Tile, 64)                                               \
    ATTENTION_DECODE(attention_decode_##format##_96, Tile, 96)                                               \
    ATTENTION_DECODE(attention_decode_##format##_128, Tile, 128)                                             \
    ATTENTION_DECODE(attention_decode_##format##_256, Tile, 256)

// The kernels of one format of the cache, for heads of up to 64, 96, 128 and 256 dimensions.
#pragma once

#include "attention_decode.cuh"
#include "attention_prefill.cuh"

#define ATTENTION_PREFILL(name, Tile, DIM)                                                         \
    extern "C" __global__ void __launch_bounds__(PREFILL_MAX_WARPS *WARP)                          \
        name(LAYER_PARAMETERS, unsigned n_stages) {                                                \
        await_earlier_launches();                                                                  \
        const Layer layer = LAYER;                                                                 \
        attend_prefill<Tile, DIM>(layer, n_stages);                                                \
    }                                                                                              \
    EXPORT(name)

#define ATTENTION_DECODE(name, Tile, DIM)                                                          \
    extern "C" __global__ void __launch_bounds__(DECODE_MAX_WARPS *WARP)                           \
        name(LAYER_PARAMETERS, unsigned budget, float *part_sums, RowState *part_states,           \
             unsigned part_rows, unsigned *counters, const float *fresh_keys,                      \
             const float *fresh_values, unsigned key_stride, unsigned value_stride,                \
             RECIPE_PARAMETERS) {                                                                  \
        await_earlier_launches();                                                                  \
        const Layer layer = LAYER;                                                                 \
        const Parts parts = {part_sums, part_states, part_rows};                                   \
        const Fresh fresh = {{fresh_keys, key_stride}, {fresh_values, value_stride}, RECIPE};      \
        attend_decode<Tile, DIM>(layer, budget, parts, counters, fresh);                           \
    }                                                                                              \
    EXPORT(name)

#define ATTENTION_KERNELS(format, Tile)                                                            \
    ATTENTION_PREFILL(attention_prefill_##format##_64, Tile, 64)                                   \
    ATTENTION_PREFILL(attention_prefill_##format##_96, Tile, 96)                                   \
    ATTENTION_PREFILL(attention_prefill_##format##_128, Tile, 128)                                 \
    ATTENTION_PREFILL(attention_prefill_##format##_256, Tile, 256)                                 \
    ATTENTION_DECODE(attention_decode_##format##_64, Tile, 64)                                     \
    ATTENTION_DECODE(attention_decode_##format##_96, Tile, 96)                                     \
    ATTENTION_DECODE(attention_decode_##format##_128, Tile, 128)                                   \
    ATTENTION_DECODE(attention_decode_##format##_256, Tile, 256)

// Attention of many rows of a span: a block of threads has some of them, and goes through all their
// keys.
#pragma once

#include "attention_tile.cuh"

constexpr unsigned PREFILL_MAX_WARPS = 4;

// Tiles of 16 rows that a warp has: two where their sums fit into its registers, so that what is
// read from shared memory serves both.
template <unsigned DIM> constexpr unsigned PREFILL_TILES = DIM <= 128 ? 2 : 1;

// Writes a warp's rows, which begin at `first`.
template <class Rows, unsigned DIM, unsigned TILES>
__device__ __forceinline__ void store(const Layer &layer, const QueryRows &rows, const Rows &own,
                                      unsigned first) {
    unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (unsigned tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            unsigned row = first + tile * 16 + half * 8 + lane / 4;
            if (rows.first + row >= rows.n) {
                continue;
            }
            float *to = layer.out + rows.place(row, layer.out_stride, layer.head_dim) + 2 * (lane % 4);
            unsigned head = rows.head(row);
            float factor = layer.factor(head, own.largest[tile][half], own.total[tile][half]);
#pragma unroll
            for (unsigned i = 0; i < DIM / 8; i++) {
                const float(&sums)[4] = own.sums[tile][i];
                if (i * 8 < layer.head_dim) {
                    float2 both = make_float2(sums[2 * half] * factor, sums[2 * half + 1] * factor);
                    *reinterpret_cast<float2 *>(to + i * 8) = both;
                }
            }
        }
    }
}

// The grid is stretches of rows, KV heads, spans, each as many as there may be. Keys and values of
// `n_stages` blocks, one or two, lie in shared memory: with two, the next ones come while one is
// worked on.
template <class Tile, unsigned DIM>
__device__ __forceinline__ void attend_prefill(const Layer &layer, unsigned n_stages) {
    using Number = typename Tile::Number;
    constexpr unsigned TILES = PREFILL_TILES<DIM>;
    DYNAMIC_SHARED(uint16_t, shared);
    unsigned first = threadIdx.x / WARP * 16 * TILES, n_rows = blockDim.x / WARP * 16 * TILES;
    // The last rows have most to do: they begin first.
    QueryRows rows(layer, blockIdx.z, blockIdx.y, (gridDim.x - 1 - blockIdx.x) * n_rows);
    if (rows.first >= rows.n) {
        return;
    }
    unsigned begin = layer.first_seen(rows.position(0)) / BLOCK_LEN;
    unsigned end = rows.position(n_rows - 1) / BLOCK_LEN + 1;
    SeenKeys seen = {rows.position(first), rows.position(first + 16 * TILES - 1), layer.window};
    uint16_t *stages = shared + n_rows * ROW_STRIDE<DIM>;
    auto stage_of = [&](unsigned block) { return stages + (block - begin) % n_stages * 2 * TILE_LEN<DIM>; };
    auto fill = [&](unsigned block) {
        size_t at = layer.place(rows.span, block, rows.kv_head, Tile::head_bytes(layer.head_dim));
        unsigned n = rows.n_written(block);
        uint16_t *to = stage_of(block);
        Tile::template fill<DIM>(to, layer.keys + at, n, layer.head_dim, threadIdx.x, blockDim.x);
        to += TILE_LEN<DIM>;
        Tile::template fill<DIM>(to, layer.values + at, n, layer.head_dim, threadIdx.x, blockDim.x);
        commit_copies();
    };

    rows.load<Number, DIM>(layer, shared, n_rows);
    WarpRows<Number, DIM, TILES> own;
    own.begin(rows, first);
    if (n_stages > 1) {
        fill(begin);
    }
    for (unsigned block = begin; block < end; block++) {
        if (n_stages == 1) {
            __syncthreads();
            fill(block);
        }
        wait_copies<0>();
        // The block is there for all, and nobody needs the one before.
        __syncthreads();
        if (n_stages > 1 && block + 1 < end) {
            fill(block + 1);
        }
        unsigned first_key = block * BLOCK_LEN;
        if (seen.sees(first_key)) {
            const uint16_t *stage = stage_of(block);
            own.score(shared + first * ROW_STRIDE<DIM>, stage);
            own.weigh(first_key, layer.window, seen.is_cut(first_key));
            own.mix(stage + TILE_LEN<DIM>);
        }
    }
    own.finish();
    store<WarpRows<Number, DIM, TILES>, DIM, TILES>(layer, rows, own, first);
}

// Attention of many rows of a span: a block of threads has some of them, and goes through all their
// keys.
#pragma once

#include "attention_tile.cuh"

constexpr unsigned PREFILL_MAX_WARPS = 4;

// Tiles of 16 rows that a warp has: two where their sums fit into its registers, so that what is
// read from shared memory serves both.
template <unsigned DIM> constexpr unsigned PREFILL_TILES = DIM <= 128 ? 2 : 1;

// `spans_of_step` has the spans, NONE where there are fewer. Keys and values of `n_stages` blocks, one
// or two, lie in shared memory: with two, the next ones come while one is worked on.
template <class Tile, unsigned DIM>
__device__ __forceinline__ void attend_prefill(const float *queries, float *out, unsigned query_stride,
                                               unsigned out_stride, const unsigned *spans_of_step,
                                               const Span *spans, const BlockList *lists, const unsigned *blocks,
                                               const unsigned char *keys, const unsigned char *values,
                                               unsigned n_heads, unsigned n_kv_heads, unsigned head_dim,
                                               unsigned window, unsigned n_stages) {
    using Number = typename Tile::Number;
    constexpr unsigned TILES = PREFILL_TILES<DIM>;
    DYNAMIC_SHARED(uint16_t, shared);
    unsigned index = spans_of_step[blockIdx.z];
    if (index == NONE) {
        return;
    }
    unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, n_rows = blockDim.x / WARP * 16 * TILES;
    QueryRows rows;
    rows.span = spans[index];
    rows.group = n_heads / n_kv_heads;
    rows.kv_head = blockIdx.y;
    rows.n = rows.span.n_rows * rows.group;
    // The last rows have most to do: they begin first.
    rows.first = (gridDim.x - 1 - blockIdx.x) * n_rows;
    if (rows.first >= rows.n) {
        return;
    }
    BlockList list = lists[index];
    unsigned n_written = rows.span.position + rows.span.n_rows;
    unsigned lowest = rows.position(0), highest = rows.position(n_rows - 1);
    unsigned begin = (lowest >= window ? lowest + 1 - window : 0) / BLOCK_LEN;
    unsigned end = highest / BLOCK_LEN + 1;

    uint16_t *own_queries = shared + warp * 16 * TILES * ROW_STRIDE<DIM>;
    uint16_t *stages = shared + n_rows * ROW_STRIDE<DIM>;
    rows.load<Number, DIM>(shared, queries, query_stride, head_dim, n_rows);
    WarpRows<Number, DIM, TILES> own;
    own.begin(rows, warp * 16 * TILES);
    unsigned own_lowest = rows.position(warp * 16 * TILES);
    unsigned own_highest = rows.position((warp + 1) * 16 * TILES - 1);

    auto fill = [&](unsigned block) {
        size_t at = size_t(block_at(blocks, list, block)) * n_kv_heads + rows.kv_head;
        at *= Tile::head_bytes(head_dim);
        unsigned n = min(BLOCK_LEN, n_written - block * BLOCK_LEN);
        uint16_t *stage = stages + (block - begin) % n_stages * 2 * TILE_LEN<DIM>;
        Tile::template fill<DIM>(stage, keys + at, n, head_dim, threadIdx.x, blockDim.x);
        Tile::template fill<DIM>(stage + TILE_LEN<DIM>, values + at, n, head_dim, threadIdx.x, blockDim.x);
        commit_copies();
    };
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
        unsigned first_key = block * BLOCK_LEN, last_key = first_key + BLOCK_LEN - 1;
        bool is_seen = first_key <= own_highest && (own_lowest < window || last_key > own_lowest - window);
        if (!is_seen) {
            continue;
        }
        bool is_cut = last_key > own_lowest || (own_highest >= window && first_key <= own_highest - window);
        const uint16_t *stage = stages + (block - begin) % n_stages * 2 * TILE_LEN<DIM>;
        own.score(own_queries, stage);
        own.weigh(first_key, window, is_cut);
        own.mix(stage + TILE_LEN<DIM>);
    }
    own.finish();
#pragma unroll
    for (unsigned tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (unsigned half = 0; half < 2; half++) {
            unsigned row = (warp * TILES + tile) * 16 + half * 8 + lane / 4;
            if (rows.first + row >= rows.n) {
                continue;
            }
            float *to = out + rows.place(row, out_stride, head_dim) + 2 * (lane % 4);
            float factor = 1.0f / own.total[tile][half];
#pragma unroll
            for (unsigned i = 0; i < DIM / 8; i++) {
                if (i * 8 < head_dim) {
                    *reinterpret_cast<float2 *>(to + i * 8) = make_float2(own.sums[tile][i][2 * half] * factor,
                                                                         own.sums[tile][i][2 * half + 1] * factor);
                }
            }
        }
    }
}

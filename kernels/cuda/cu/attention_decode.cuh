// Attention of few rows of a span: its keys are split among blocks of threads, and among the warps of
// each of them; the last block of a span to finish puts the parts together.
#pragma once

#include "arrival.cuh"
#include "attention_tile.cuh"

constexpr unsigned DECODE_ROWS = 16;
constexpr unsigned DECODE_MAX_WARPS = 4;
constexpr unsigned MAX_SPLITS = 128;

// What is known of a row's softmax over some of its keys.
struct __align__(8) RowState {
    float largest;
    float total;
};

// Which of the blocks of keys that its rows see a block of threads works on. It depends on the
// span and the device alone: a sequence's sums are the same beside any others.
struct Split {
    unsigned n_splits;
    unsigned begin, end;

    // `budget` blocks of threads share out what one KV head has, its tiles of rows included.
    __device__ __forceinline__ Split(unsigned first, unsigned last, unsigned n_tiles, unsigned budget) {
        unsigned n_warps = blockDim.x / WARP, n_blocks = last + 1 - first;
        unsigned n_shares = max(1u, budget / n_tiles);
        unsigned share = (n_blocks + n_shares - 1) / n_shares;
        share = (share + n_warps - 1) / n_warps * n_warps;
        n_splits = (n_blocks + share - 1) / share;
        begin = first + blockIdx.z * share;
        end = min(begin + share, last + 1);
    }
};

// Where the rows of a block of threads go: to `out`, or to parts that are put together later.
struct Parts {
    float *sums;
    RowState *states;
    unsigned n_rows;

    // The place of row 0 of a split; a column is a KV head and a tile.
    __device__ __forceinline__ size_t place(unsigned column, unsigned split) const {
        size_t column_of_span = size_t(blockIdx.y) * gridDim.x + column;
        return (column_of_span * gridDim.z + split) * n_rows;
    }
};

// The factor of a part whose largest score is `own`, where `all` is the largest of all parts.
__device__ __forceinline__ float part_factor(float own, float all) {
    return own == -INFINITY ? 0.0f : __expf(own - all);
}

// Puts together what the warps have, in their order. A warp's sums begin at `sums + warp * stride`.
template <unsigned DIM>
__device__ __forceinline__ void merge_warps(const float *sums, unsigned stride, const RowState *states,
                                            const QueryRows &rows, float *out, unsigned out_stride,
                                            unsigned head_dim, bool is_whole, const Parts &parts) {
    unsigned n_warps = blockDim.x / WARP, n_rows = min(DECODE_ROWS, rows.n - rows.first);
    size_t place = parts.place(blockIdx.x, blockIdx.z);
    for (unsigned i = threadIdx.x; i < n_rows * head_dim; i += blockDim.x) {
        unsigned row = i / head_dim, dim = i % head_dim;
        float largest = -INFINITY;
        for (unsigned warp = 0; warp < n_warps; warp++) {
            largest = fmaxf(largest, states[warp * DECODE_ROWS + row].largest);
        }
        float sum = 0.0f, total = 0.0f;
        for (unsigned warp = 0; warp < n_warps; warp++) {
            RowState state = states[warp * DECODE_ROWS + row];
            float factor = part_factor(state.largest, largest);
            sum += factor * sums[warp * stride + row * DIM + dim];
            total += factor * state.total;
        }
        if (is_whole) {
            out[rows.place(row, out_stride, head_dim) + dim] = sum / total;
            continue;
        }
        parts.sums[(place + row) * head_dim + dim] = sum;
        if (dim == 0) {
            parts.states[place + row] = {largest, total};
        }
    }
}

// Puts together all splits, in their order. `factors` has room for `DECODE_ROWS` times the splits.
__device__ __forceinline__ void merge_splits(float *factors, unsigned n_splits, const QueryRows &rows, float *out,
                                             unsigned out_stride, unsigned head_dim, const Parts &parts) {
    unsigned n_rows = min(DECODE_ROWS, rows.n - rows.first);
    size_t step = parts.n_rows, first = parts.place(blockIdx.x, 0);
    const volatile RowState *states = parts.states + first;
    for (unsigned row = threadIdx.x; row < n_rows; row += blockDim.x) {
        float largest = -INFINITY, total = 0.0f;
        for (unsigned split = 0; split < n_splits; split++) {
            largest = fmaxf(largest, states[split * step + row].largest);
        }
        for (unsigned split = 0; split < n_splits; split++) {
            float factor = part_factor(states[split * step + row].largest, largest);
            factors[row * n_splits + split] = factor;
            total += factor * states[split * step + row].total;
        }
        for (unsigned split = 0; split < n_splits; split++) {
            factors[row * n_splits + split] /= total;
        }
    }
    __syncthreads();
    const volatile float *sums = parts.sums + first * head_dim;
    for (unsigned i = threadIdx.x; i < n_rows * head_dim; i += blockDim.x) {
        unsigned row = i / head_dim, dim = i % head_dim;
        float sum = 0.0f;
        for (unsigned split = 0; split < n_splits; split++) {
            sum += factors[row * n_splits + split] * sums[(split * step + row) * head_dim + dim];
        }
        out[rows.place(row, out_stride, head_dim) + dim] = sum;
    }
}

// What a warp has goes to shared memory.
template <class Rows, unsigned DIM>
__device__ __forceinline__ void publish(const Rows &own, float *sums, RowState *states) {
    unsigned lane = threadIdx.x % WARP;
#pragma unroll
    for (unsigned half = 0; half < 2; half++) {
        unsigned row = half * 8 + lane / 4;
#pragma unroll
        for (unsigned i = 0; i < DIM / 8; i++) {
            sums[row * DIM + i * 8 + 2 * (lane % 4)] = own.sums[0][i][2 * half];
            sums[row * DIM + i * 8 + 2 * (lane % 4) + 1] = own.sums[0][i][2 * half + 1];
        }
        if (lane % 4 == 0) {
            states[row] = {own.largest[0][half], own.total[0][half]};
        }
    }
}

// The grid is KV heads times tiles of 16 rows, spans, splits, each as many as there may be.
// `counters` has a 0 for each span, KV head and tile.
template <class Tile, unsigned DIM>
__device__ __forceinline__ void attend_decode(const float *queries, float *out, unsigned query_stride,
                                              unsigned out_stride, const unsigned *spans_of_step,
                                              const Span *spans, const BlockList *lists, const unsigned *blocks,
                                              const unsigned char *keys, const unsigned char *values,
                                              unsigned n_heads, unsigned n_kv_heads, unsigned head_dim,
                                              unsigned window, unsigned budget, float *part_sums,
                                              RowState *part_states, unsigned part_rows, unsigned *counters) {
    using Number = typename Tile::Number;
    constexpr unsigned STRIDE = 2 * TILE_LEN<DIM>;
    DYNAMIC_SHARED(uint16_t, shared);
    unsigned index = spans_of_step[blockIdx.y];
    if (index == NONE) {
        return;
    }
    QueryRows rows;
    rows.span = spans[index];
    rows.group = n_heads / n_kv_heads;
    rows.kv_head = blockIdx.x % n_kv_heads;
    rows.n = rows.span.n_rows * rows.group;
    rows.first = blockIdx.x / n_kv_heads * DECODE_ROWS;
    if (rows.first >= rows.n) {
        return;
    }
    unsigned lowest = rows.position(0), highest = rows.position(DECODE_ROWS - 1);
    Split split((lowest >= window ? lowest + 1 - window : 0) / BLOCK_LEN, highest / BLOCK_LEN,
                (rows.n + DECODE_ROWS - 1) / DECODE_ROWS, budget);
    if (blockIdx.z >= split.n_splits) {
        return;
    }
    BlockList list = lists[index];
    unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, n_warps = blockDim.x / WARP;
    unsigned n_written = rows.span.position + rows.span.n_rows;
    // Each warp's keys, then its values; the queries; what warps know of their rows.
    uint16_t *own_keys = shared + warp * STRIDE, *own_values = own_keys + TILE_LEN<DIM>;
    uint16_t *tile = shared + n_warps * STRIDE;
    RowState *states = reinterpret_cast<RowState *>(tile + DECODE_ROWS * ROW_STRIDE<DIM>);
    auto fill = [&](uint16_t *to, const unsigned char *cached, unsigned block) {
        if (block < split.end) {
            size_t at = size_t(block_at(blocks, list, block)) * n_kv_heads + rows.kv_head;
            unsigned n = min(BLOCK_LEN, n_written - block * BLOCK_LEN);
            Tile::template fill<DIM>(to, cached + at * Tile::head_bytes(head_dim), n, head_dim, lane, WARP);
        }
        commit_copies();
    };

    fill(own_keys, keys, split.begin + warp);
    fill(own_values, values, split.begin + warp);
    rows.load<Number, DIM>(tile, queries, query_stride, head_dim, DECODE_ROWS);
    WarpRows<Number, DIM, 1> own;
    own.begin(rows, 0);
    __syncthreads();
    for (unsigned block = split.begin + warp; block < split.end; block += n_warps) {
        wait_copies<1>();
        __syncwarp();
        own.score(tile, own_keys);
        __syncwarp();
        fill(own_keys, keys, block + n_warps);
        unsigned first_key = block * BLOCK_LEN, last_key = first_key + BLOCK_LEN - 1;
        own.weigh(first_key, window, last_key > lowest || (highest >= window && first_key <= highest - window));
        wait_copies<1>();
        __syncwarp();
        own.mix(own_values);
        __syncwarp();
        fill(own_values, values, block + n_warps);
    }
    own.finish();
    // Keys and values have been used: sums take their place.
    wait_copies<0>();
    __syncwarp();
    publish<WarpRows<Number, DIM, 1>, DIM>(own, reinterpret_cast<float *>(own_keys), states + warp * DECODE_ROWS);
    __syncthreads();

    Parts parts = {part_sums, part_states, part_rows};
    merge_warps<DIM>(reinterpret_cast<const float *>(shared), STRIDE / 2, states, rows, out, out_stride, head_dim,
                     split.n_splits == 1, parts);
    if (split.n_splits > 1 && is_last_of(split.n_splits, counters + blockIdx.y * gridDim.x + blockIdx.x)) {
        merge_splits(reinterpret_cast<float *>(shared), split.n_splits, rows, out, out_stride, head_dim, parts);
    }
}

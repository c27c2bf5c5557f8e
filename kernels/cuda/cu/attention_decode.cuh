// Attention of few rows of a span: its keys are split among blocks of threads, and among the warps of
// each of them; the last block of a span to finish puts the parts together.
#pragma once

#include "arrival.cuh"
#include "attention_tile.cuh"
#include "heads.cuh"

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
__device__ __forceinline__ void merge_warps(const Layer &layer, const QueryRows &rows, const float *sums,
                                            unsigned stride, const RowState *states, bool is_whole,
                                            const Parts &parts) {
    unsigned n_warps = blockDim.x / WARP, n_rows = min(DECODE_ROWS, rows.n - rows.first);
    size_t place = parts.place(blockIdx.x, blockIdx.z);
    for (unsigned i = threadIdx.x; i < n_rows * layer.head_dim; i += blockDim.x) {
        unsigned row = i / layer.head_dim, dim = i % layer.head_dim;
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
            float factor = layer.factor(rows.head(row), largest, total);
            layer.out[rows.place(row, layer.out_stride, layer.head_dim) + dim] = sum * factor;
            continue;
        }
        parts.sums[(place + row) * layer.head_dim + dim] = sum;
        if (dim == 0) {
            parts.states[place + row] = {largest, total};
        }
    }
}

// Puts together all splits, in their order. `factors` has room for `DECODE_ROWS` times the splits.
__device__ __forceinline__ void merge_splits(const Layer &layer, const QueryRows &rows, float *factors,
                                             unsigned n_splits, const Parts &parts) {
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
        float factor = layer.factor(rows.head(row), largest, total);
        for (unsigned split = 0; split < n_splits; split++) {
            factors[row * n_splits + split] *= factor;
        }
    }
    __syncthreads();
    const volatile float *sums = parts.sums + first * layer.head_dim;
    for (unsigned i = threadIdx.x; i < n_rows * layer.head_dim; i += blockDim.x) {
        unsigned row = i / layer.head_dim, dim = i % layer.head_dim;
        float sum = 0.0f;
        for (unsigned split = 0; split < n_splits; split++) {
            sum += factors[row * n_splits + split] * sums[(split * step + row) * layer.head_dim + dim];
        }
        layer.out[rows.place(row, layer.out_stride, layer.head_dim) + dim] = sum;
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

// A warp goes through every `n_warps`-th block of the keys of a split. The next keys come while weights
// and values are worked on, the next values while scores are.
template <class Tile, unsigned DIM, class Rows>
__device__ __forceinline__ void attend_split(const Layer &layer, const QueryRows &rows, const Split &split,
                                             const uint16_t *queries, uint16_t *own_keys, Rows &own) {
    unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, n_warps = blockDim.x / WARP;
    SeenKeys seen = {rows.position(0), rows.position(DECODE_ROWS - 1), layer.window};
    uint16_t *own_values = own_keys + TILE_LEN<DIM>;
    auto fill = [&](uint16_t *to, const unsigned char *cached, unsigned block) {
        if (block < split.end) {
            cached += layer.place(rows.span, block, rows.kv_head, Tile::head_bytes(layer.head_dim));
            Tile::template fill<DIM>(to, cached, rows.n_written(block), layer.head_dim, lane, WARP);
        }
        commit_copies();
    };

    fill(own_keys, layer.keys, split.begin + warp);
    fill(own_values, layer.values, split.begin + warp);
    // The queries are there for all.
    __syncthreads();
    for (unsigned block = split.begin + warp; block < split.end; block += n_warps) {
        wait_copies<1>();
        __syncwarp();
        own.score(queries, own_keys);
        __syncwarp();
        fill(own_keys, layer.keys, block + n_warps);
        own.weigh(block * BLOCK_LEN, layer.window, seen.is_cut(block * BLOCK_LEN));
        wait_copies<1>();
        __syncwarp();
        own.mix(own_values);
        __syncwarp();
        fill(own_values, layer.values, block + n_warps);
    }
    wait_copies<0>();
    __syncwarp();
    own.finish();
}

// What products gave, where a step's own keys are not in the cache yet; no keys where they are. Spans then
// have one row, whose heads are one tile.
struct Fresh {
    Heads keys, values;
    Recipe recipe;
};

// Makes the queries ready, in shared memory, and stores key and value where the split `ends` with them. Each
// warp has room for a head at `exchange`.
template <class Tile, unsigned DIM>
__device__ __forceinline__ void prepare(const Layer &layer, const QueryRows &rows, bool ends,
                                        const Fresh &fresh, uint16_t *queries, float *exchange) {
    using Number = typename Tile::Number;
    unsigned lane = threadIdx.x % WARP, position = rows.span.position;
    for (unsigned i = threadIdx.x / WARP; i < rows.group + (ends ? 2 : 0); i += blockDim.x / WARP) {
        unsigned kind = i < rows.group ? 0 : i - rows.group + 1;
        Heads from = kind == 0   ? Heads{layer.queries, layer.query_stride}
                     : kind == 1 ? fresh.keys
                                 : fresh.values;
        unsigned head = kind == 0 ? rows.kv_head * rows.group + i : rows.kv_head;
        Head<DIM> own;
        own.load(from.head(rows.span.first_row, head, layer.head_dim), layer.head_dim);
        fresh.recipe.apply(own, kind, rows.span.first_row, layer.head_dim, exchange);
        if (kind > 0) {
            size_t head_bytes = Tile::head_bytes(layer.head_dim);
            size_t place = layer.place(rows.span, position / BLOCK_LEN, head, head_bytes);
            unsigned char *to = const_cast<unsigned char *>(kind == 1 ? layer.keys : layer.values) + place;
            own.template put<typename Tile::Kv>(to, position % BLOCK_LEN, layer.head_dim);
            continue;
        }
        // Neighbouring dimensions, which neighbouring lanes have, are rounded together.
        __syncwarp();
        own.store(exchange, DIM, fresh.recipe.factor(position));
        __syncwarp();
        for (unsigned dim = 4 * lane; dim < DIM; dim += 4 * WARP) {
            float4 four = *reinterpret_cast<const float4 *>(exchange + dim);
            *reinterpret_cast<uint2 *>(queries + i * ROW_STRIDE<DIM> + dim) =
                make_uint2(Number::pack(four.x, four.y), Number::pack(four.z, four.w));
        }
        __syncwarp();
    }
    for (unsigned i = rows.group * (DIM / 4) + threadIdx.x; i < DECODE_ROWS * (DIM / 4); i += blockDim.x) {
        unsigned row = i / (DIM / 4), dim = i % (DIM / 4) * 4;
        *reinterpret_cast<uint2 *>(queries + row * ROW_STRIDE<DIM> + dim) = make_uint2(0, 0);
    }
    // The key is there for whoever reads the block that it is in.
    __syncthreads();
}

// The grid is KV heads times tiles of 16 rows, spans, splits, each as many as there may be.
// `counters` has a 0 for each span, KV head and tile.
template <class Tile, unsigned DIM>
__device__ __forceinline__ void attend_decode(const Layer &layer, unsigned budget, const Parts &parts,
                                              unsigned *counters, const Fresh &fresh) {
    using Rows = WarpRows<typename Tile::Number, DIM, 1>;
    constexpr unsigned STRIDE = 2 * TILE_LEN<DIM>;
    DYNAMIC_SHARED(uint16_t, shared);
    unsigned kv_head = blockIdx.x % layer.n_kv_heads, tile = blockIdx.x / layer.n_kv_heads;
    QueryRows rows(layer, blockIdx.y, kv_head, tile * DECODE_ROWS);
    if (rows.first >= rows.n) {
        return;
    }
    unsigned n_tiles = (rows.n + DECODE_ROWS - 1) / DECODE_ROWS;
    unsigned last = rows.position(DECODE_ROWS - 1) / BLOCK_LEN;
    Split split(layer.first_seen(rows.position(0)) / BLOCK_LEN, last, n_tiles, budget);
    if (blockIdx.z >= split.n_splits) {
        return;
    }
    // Each warp's keys, then its values; the queries; what warps know of their rows.
    unsigned warp = threadIdx.x / WARP;
    uint16_t *own_keys = shared + warp * STRIDE;
    uint16_t *queries = shared + blockDim.x / WARP * STRIDE;
    RowState *states = reinterpret_cast<RowState *>(queries + DECODE_ROWS * ROW_STRIDE<DIM>);
    if (fresh.keys.first == nullptr) {
        rows.load<typename Tile::Number, DIM>(layer, queries, DECODE_ROWS);
    } else {
        float *exchange = reinterpret_cast<float *>(own_keys);
        prepare<Tile, DIM>(layer, rows, split.end == last + 1, fresh, queries, exchange);
    }
    Rows own;
    own.begin(rows, 0);
    attend_split<Tile, DIM>(layer, rows, split, queries, own_keys, own);

    // Keys and values have been used: sums take their place.
    publish<Rows, DIM>(own, reinterpret_cast<float *>(own_keys), states + warp * DECODE_ROWS);
    __syncthreads();
    float *all = reinterpret_cast<float *>(shared);
    bool is_whole = split.n_splits == 1;
    merge_warps<DIM>(layer, rows, all, STRIDE / 2, states, is_whole, parts);
    unsigned *counter = counters + blockIdx.y * gridDim.x + blockIdx.x;
    if (!is_whole && is_last_of(split.n_splits, counter)) {
        merge_splits(layer, rows, all, split.n_splits, parts);
    }
}

// Rows of queries against a block of 32 keys, on tensor cores: scores, online softmax, weighted
// values. Queries, keys and values lie in shared memory as 16-bit floats; sums are float32.
//
// Rows are the queries of all heads that share a KV head, a token's heads side by side: row `i` is
// head `i % group` of token `i / group` of the span.
#pragma once

#include "attention_layer.cuh"
#include "mma_f16.cuh"

// Numbers as half precision.
struct Half {
    static __device__ __forceinline__ unsigned pack(float first, float second) {
        unsigned upper = f32_to_f16_saturated(second);
        return upper << 16 | f32_to_f16_saturated(first);
    }

    // Of numbers from 0 to 1.
    static __device__ __forceinline__ unsigned pack_weights(float first, float second) {
        return round_pair_to_f16(first, second);
    }

    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                                    unsigned b1) {
        const unsigned b[2] = {b0, b1};
        mma_f16(d, a, b);
    }
};

// Numbers as bfloat16.
struct Brain {
    static __device__ __forceinline__ unsigned pack(float first, float second) {
        return pack_bf16(first, second);
    }

    static __device__ __forceinline__ unsigned pack_weights(float first, float second) {
        return round_pair_to_bf16(first, second);
    }

    static __device__ __forceinline__ void multiply(float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                                    unsigned b1) {
        const unsigned b[2] = {b0, b1};
        mma_bf16(d, a, b);
    }
};

// 16-bit floats from one row to the next in shared memory, for rows of up to `DIM` dimensions: eight
// rows begin in different banks.
template <unsigned DIM> constexpr unsigned ROW_STRIDE = DIM + 8;
template <unsigned DIM> constexpr unsigned TILE_LEN = BLOCK_LEN * ROW_STRIDE<DIM>;

// A cache of 16-bit floats: copied as they are.
template <class Type, class Format> struct PlainTile {
    using Number = Type;
    using Kv = Format;

    static __device__ __forceinline__ size_t head_bytes(unsigned head_dim) {
        return Kv::head_bytes(head_dim);
    }

    // Begins to copy the first `n` tokens of a head; zeros take the place of the others, and of
    // dimensions beyond the head.
    template <unsigned DIM>
    static __device__ __forceinline__ void fill(uint16_t *tile, const unsigned char *head, unsigned n,
                                                unsigned head_dim, unsigned thread, unsigned n_threads) {
        constexpr unsigned CHUNKS = DIM / 8;
        const uint16_t *numbers = reinterpret_cast<const uint16_t *>(head);
        for (unsigned i = thread; i < BLOCK_LEN * CHUNKS; i += n_threads) {
            unsigned token = i / CHUNKS, dim = i % CHUNKS * 8;
            bool is_there = token < n && dim < head_dim;
            const uint16_t *from = numbers + (is_there ? token * head_dim + dim : 0);
            copy_async_16(tile + token * ROW_STRIDE<DIM> + dim, from, is_there);
        }
    }
};

// A cache of bfloat16 for tensor cores that do not know it: half precision stands in, whose range is
// enough for keys and values.
struct NarrowedTile {
    using Number = Half;
    using Kv = KvBf16;

    static __device__ __forceinline__ size_t head_bytes(unsigned head_dim) {
        return KvBf16::head_bytes(head_dim);
    }

    static __device__ __forceinline__ unsigned convert(unsigned both) {
        return Half::pack(__uint_as_float(both << 16), __uint_as_float(both & 0xffff0000u));
    }

    template <unsigned DIM>
    static __device__ __forceinline__ void fill(uint16_t *tile, const unsigned char *head, unsigned n,
                                                unsigned head_dim, unsigned thread, unsigned n_threads) {
        constexpr unsigned CHUNKS = DIM / 8;
        for (unsigned i = thread; i < BLOCK_LEN * CHUNKS; i += n_threads) {
            unsigned token = i / CHUNKS, dim = i % CHUNKS * 8;
            uint4 numbers = make_uint4(0, 0, 0, 0);
            if (token < n && dim < head_dim) {
                numbers = *reinterpret_cast<const uint4 *>(head + 2 * (token * head_dim + dim));
                numbers = make_uint4(convert(numbers.x), convert(numbers.y), convert(numbers.z),
                                     convert(numbers.w));
            }
            *reinterpret_cast<uint4 *>(tile + token * ROW_STRIDE<DIM> + dim) = numbers;
        }
    }
};

// A cache of codes and scales: eight at a time are widened on the way.
template <class Format, uint4 (*WIDEN)(uint2, unsigned)> struct ScaledTile {
    using Number = Half;
    using Kv = Format;

    static __device__ __forceinline__ size_t head_bytes(unsigned head_dim) {
        return Kv::head_bytes(head_dim);
    }

    template <unsigned DIM>
    static __device__ __forceinline__ void fill(uint16_t *tile, const unsigned char *head, unsigned n,
                                                unsigned head_dim, unsigned thread, unsigned n_threads) {
        constexpr unsigned CHUNKS = DIM / 8;
        for (unsigned i = thread; i < BLOCK_LEN * CHUNKS; i += n_threads) {
            unsigned token = i / CHUNKS, dim = i % CHUNKS * 8;
            uint4 numbers = make_uint4(0, 0, 0, 0);
            if (token < n && dim < head_dim) {
                uint2 codes = *reinterpret_cast<const uint2 *>(head + token * head_dim + dim);
                numbers = WIDEN(codes, Kv::scale(head, token, dim, head_dim));
            }
            *reinterpret_cast<uint4 *>(tile + token * ROW_STRIDE<DIM> + dim) = numbers;
        }
    }
};

__device__ __forceinline__ unsigned widen_whole(unsigned word, unsigned byte, float scale) {
    float first = static_cast<float>(static_cast<int8_t>(word >> (8 * byte)));
    float second = static_cast<float>(static_cast<int8_t>(word >> (8 * byte + 8)));
    return Half::pack(first * scale, second * scale);
}

__device__ __forceinline__ uint4 widen_q8(uint2 codes, unsigned scale) {
    float factor = f16_to_f32(static_cast<uint16_t>(scale));
    return make_uint4(widen_whole(codes.x, 0, factor), widen_whole(codes.x, 2, factor),
                      widen_whole(codes.y, 0, factor), widen_whole(codes.y, 2, factor));
}

__device__ __forceinline__ uint4 widen_fp8(uint2 codes, unsigned scale) {
    unsigned factors = scale * 0x01000100u;
    auto widen = [factors](unsigned both) {
        return multiply_f16x2(e4m3x2_to_f16x2(both & 0xffffu), factors);
    };
    return make_uint4(widen(codes.x), widen(codes.x >> 16), widen(codes.y), widen(codes.y >> 16));
}

using Q8Tile = ScaledTile<KvQ8, widen_q8>;
using Fp8Tile = ScaledTile<KvFp8, widen_fp8>;

// Which rows a block of threads works on.
struct QueryRows {
    Span span;
    unsigned group;
    unsigned kv_head;
    // The first of them, and how many rows the span has for this KV head.
    unsigned first;
    unsigned n;

    __device__ __forceinline__ QueryRows(const Layer &layer, unsigned index, unsigned kv_head, unsigned first)
        : span(layer.spans[index]), group(layer.n_heads / layer.n_kv_heads), kv_head(kv_head), first(first),
          n(span.n_rows * group) {}

    // Rows beyond the last stand for the last.
    __device__ __forceinline__ unsigned position(unsigned row) const {
        return span.position + min(first + row, n - 1) / group;
    }

    // How many tokens of a block have been written.
    __device__ __forceinline__ unsigned n_written(unsigned block) const {
        return min(BLOCK_LEN, span.position + span.n_rows - block * BLOCK_LEN);
    }

    // The query head of a row.
    __device__ __forceinline__ unsigned head(unsigned row) const {
        return kv_head * group + (first + row) % group;
    }

    // Where a row's head begins, in numbers.
    __device__ __forceinline__ size_t place(unsigned row, unsigned stride, unsigned head_dim) const {
        unsigned token = (first + row) / group;
        return size_t(span.first_row + token) * stride + head(row) * head_dim;
    }

    // Rounds `n_rows` rows into shared memory, zeros beyond the last one and beyond the head.
    template <class Number, unsigned DIM>
    __device__ __forceinline__ void load(const Layer &layer, uint16_t *to, unsigned n_rows) const {
        for (unsigned i = threadIdx.x; i < n_rows * (DIM / 4); i += blockDim.x) {
            unsigned row = i / (DIM / 4), dim = i % (DIM / 4) * 4;
            uint2 packed = make_uint2(0, 0);
            if (first + row < n && dim < layer.head_dim) {
                const float *from = layer.queries + place(row, layer.query_stride, layer.head_dim) + dim;
                float4 numbers = *reinterpret_cast<const float4 *>(from);
                packed = make_uint2(Number::pack(numbers.x, numbers.y), Number::pack(numbers.z, numbers.w));
            }
            *reinterpret_cast<uint2 *>(to + row * ROW_STRIDE<DIM> + dim) = packed;
        }
    }
};

// Which keys rows see, the lowest and the highest of which are at these positions.
struct SeenKeys {
    unsigned lowest, highest, window;

    // Whether any row sees any key of a block.
    __device__ __forceinline__ bool sees(unsigned first_key) const {
        unsigned last_key = first_key + BLOCK_LEN - 1;
        return first_key <= highest && (lowest < window || last_key > lowest - window);
    }

    // Whether some row does not see some key of a block.
    __device__ __forceinline__ bool is_cut(unsigned first_key) const {
        unsigned last_key = first_key + BLOCK_LEN - 1;
        return last_key > lowest || (highest >= window && first_key <= highest - window);
    }
};

// What a warp knows of `16 * TILES` rows: lane `l` has rows `l / 4` and `l / 4 + 8` of each tile, of
// those the columns `2 * (l % 4)` and the next one of every eight.
template <class Number, unsigned DIM, unsigned TILES> struct WarpRows {
    float sums[TILES][DIM / 8][4];
    float largest[TILES][2];
    // Of this lane's columns, until `finish`.
    float total[TILES][2];
    unsigned position[TILES][2];
    float scores[TILES][BLOCK_LEN / 8][4];

    // The warp's rows begin at `first`.
    __device__ __forceinline__ void begin(const QueryRows &rows, unsigned first) {
        unsigned lane = threadIdx.x % WARP;
#pragma unroll
        for (unsigned tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (unsigned i = 0; i < DIM / 8; i++) {
                sums[tile][i][0] = sums[tile][i][1] = sums[tile][i][2] = sums[tile][i][3] = 0.0f;
            }
#pragma unroll
            for (unsigned half = 0; half < 2; half++) {
                largest[tile][half] = -INFINITY;
                total[tile][half] = 0.0f;
                position[tile][half] = rows.position(first + tile * 16 + half * 8 + lane / 4);
            }
        }
    }

    // Products with all keys of a block.
    __device__ __forceinline__ void score(const uint16_t *queries, const uint16_t *keys) {
        unsigned lane = threadIdx.x % WARP;
        const uint16_t *query = queries + lane % 16 * ROW_STRIDE<DIM> + lane / 16 * 8;
        const uint16_t *key = keys + (lane % 8 + lane / 16 * 8) * ROW_STRIDE<DIM> + lane / 8 % 2 * 8;
#pragma unroll
        for (unsigned tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (unsigned i = 0; i < BLOCK_LEN / 8; i++) {
                scores[tile][i][0] = scores[tile][i][1] = scores[tile][i][2] = scores[tile][i][3] = 0.0f;
            }
        }
#pragma unroll
        for (unsigned dim = 0; dim < DIM; dim += 16) {
            unsigned a[TILES][4];
#pragma unroll
            for (unsigned tile = 0; tile < TILES; tile++) {
                load_tiles(a[tile], query + tile * 16 * ROW_STRIDE<DIM> + dim);
            }
#pragma unroll
            for (unsigned sixteen = 0; sixteen < BLOCK_LEN / 16; sixteen++) {
                unsigned b[4];
                load_tiles(b, key + sixteen * 16 * ROW_STRIDE<DIM> + dim);
#pragma unroll
                for (unsigned tile = 0; tile < TILES; tile++) {
                    Number::multiply(scores[tile][2 * sixteen], a[tile], b[0], b[1]);
                    Number::multiply(scores[tile][2 * sixteen + 1], a[tile], b[2], b[3]);
                }
            }
        }
    }

    // Turns scores into weights `exp(score - largest)`, and makes what was summed up comparable.
    // `first_key` is the position of the block's first key; rows see the keys up to their own, and no
    // more than `window` of them.
    __device__ __forceinline__ void weigh(unsigned first_key, unsigned window, bool is_cut) {
#pragma unroll
        for (unsigned tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (unsigned half = 0; half < 2; half++) {
                if (is_cut) {
                    cut(tile, half, first_key, window);
                }
                weigh_row(tile, half);
            }
        }
    }

    __device__ __forceinline__ void cut(unsigned tile, unsigned half, unsigned first_key, unsigned window) {
        unsigned own = position[tile][half];
#pragma unroll
        for (unsigned i = 0; i < BLOCK_LEN / 8; i++) {
#pragma unroll
            for (unsigned j = 0; j < 2; j++) {
                unsigned key = first_key + i * 8 + 2 * (threadIdx.x % 4) + j;
                if (key > own || own - key >= window) {
                    scores[tile][i][2 * half + j] = -INFINITY;
                }
            }
        }
    }

    __device__ __forceinline__ void weigh_row(unsigned tile, unsigned half) {
        float best = largest[tile][half];
#pragma unroll
        for (unsigned i = 0; i < BLOCK_LEN / 8; i++) {
            best = fmaxf(best, fmaxf(scores[tile][i][2 * half], scores[tile][i][2 * half + 1]));
        }
        best = fmaxf(best, __shfl_xor_sync(ALL_LANES, best, 1));
        best = fmaxf(best, __shfl_xor_sync(ALL_LANES, best, 2));
        // A row that has seen no key yet.
        float base = best == -INFINITY ? 0.0f : best;
        float factor = __expf(largest[tile][half] - base);
        float sum = 0.0f;
#pragma unroll
        for (unsigned i = 0; i < BLOCK_LEN / 8; i++) {
#pragma unroll
            for (unsigned j = 0; j < 2; j++) {
                float weight = __expf(scores[tile][i][2 * half + j] - base);
                scores[tile][i][2 * half + j] = weight;
                sum += weight;
            }
        }
        largest[tile][half] = best;
        total[tile][half] = total[tile][half] * factor + sum;
        // Behind the first blocks, a new largest score is rare.
        if (!__any_sync(ALL_LANES, factor != 1.0f)) {
            return;
        }
#pragma unroll
        for (unsigned i = 0; i < DIM / 8; i++) {
            sums[tile][i][2 * half] *= factor;
            sums[tile][i][2 * half + 1] *= factor;
        }
    }

    // Adds the values of a block, by their weights.
    __device__ __forceinline__ void mix(const uint16_t *values) {
        unsigned lane = threadIdx.x % WARP;
        const uint16_t *value = values + lane % 16 * ROW_STRIDE<DIM> + lane / 16 * 8;
#pragma unroll
        for (unsigned sixteen = 0; sixteen < BLOCK_LEN / 16; sixteen++) {
            unsigned a[TILES][4];
#pragma unroll
            for (unsigned tile = 0; tile < TILES; tile++) {
                const float(&left)[4] = scores[tile][2 * sixteen];
                const float(&right)[4] = scores[tile][2 * sixteen + 1];
                a[tile][0] = Number::pack_weights(left[0], left[1]);
                a[tile][1] = Number::pack_weights(left[2], left[3]);
                a[tile][2] = Number::pack_weights(right[0], right[1]);
                a[tile][3] = Number::pack_weights(right[2], right[3]);
            }
#pragma unroll
            for (unsigned dim = 0; dim < DIM; dim += 16) {
                unsigned b[4];
                load_tiles_transposed(b, value + sixteen * 16 * ROW_STRIDE<DIM> + dim);
#pragma unroll
                for (unsigned tile = 0; tile < TILES; tile++) {
                    Number::multiply(sums[tile][dim / 8], a[tile], b[0], b[1]);
                    Number::multiply(sums[tile][dim / 8 + 1], a[tile], b[2], b[3]);
                }
            }
        }
    }

    // Adds up the totals of the four lanes that share a row.
    __device__ __forceinline__ void finish() {
#pragma unroll
        for (unsigned tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (unsigned half = 0; half < 2; half++) {
                float sum = total[tile][half];
                sum += __shfl_xor_sync(ALL_LANES, sum, 1);
                total[tile][half] = sum + __shfl_xor_sync(ALL_LANES, sum, 2);
            }
        }
    }
};

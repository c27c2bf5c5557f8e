// Before attention: angles of the positions, queries and keys made ready, keys and values stored.
#include "kv.cuh"
#include "step.cuh"

// Cosine and sine of each row's position, `[n_rows, n_pairs]`, once in a step. Sequences that are
// planned longer than `threshold` turn by the frequencies of `long_ones`.
extern "C" __global__ void turns(const Row *rows, const float *short_ones, const float *long_ones,
                                 unsigned threshold, unsigned n_pairs, float factor, float2 *out) {
    await_earlier_launches();
    Row row = rows[blockIdx.x];
    if (row.span == NONE) {
        return;
    }
    const float *frequencies = row.planned_length > threshold ? long_ones : short_ones;
    float position = static_cast<float>(row.position);
    for (unsigned pair = threadIdx.x; pair < n_pairs; pair += blockDim.x) {
        float sine, cosine;
        sincosf(position * frequencies[pair], &sine, &cosine);
        out[size_t(blockIdx.x) * n_pairs + pair] = make_float2(cosine * factor, sine * factor);
    }
}
EXPORT(turns)

constexpr unsigned HEADS_PER_BLOCK = 4;
constexpr unsigned CHUNKS = MAX_HEAD_DIM / WARP;

// A head in the registers of a warp: lane `l` has dimensions `l`, `l + 32` and so on, and zeros
// beyond the head.
struct Head {
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

    // `scale * (1 + growth * ln(1 + floor(position / period)))`, where queries grow.
    __device__ __forceinline__ float factor(unsigned position) const {
        return period == 0 ? scale : scale * (1.0f + growth * log1pf(static_cast<float>(position / period)));
    }
};

// Queries, keys, or values of all rows.
struct Heads {
    const float *first;
    unsigned stride;

    __device__ __forceinline__ const float *head(unsigned row, unsigned head, unsigned head_dim) const {
        return first + size_t(row) * stride + head * head_dim;
    }
};

// Where keys and values go: `places` says to which token of which block, for each row.
struct Cache {
    const unsigned *places;
    unsigned char *keys;
    unsigned char *values;
    unsigned n_kv_heads;
    unsigned head_dim;
};

// A warp for each head of a row: queries, then keys, then values. Queries are changed in place; keys
// and values go to the block of their position.
template <class Format>
__device__ __forceinline__ void append(const Heads (&heads)[3], float *queries, unsigned n_heads,
                                       const Recipe &recipe, const Row *rows, const Cache &cache) {
    __shared__ float exchange[HEADS_PER_BLOCK][MAX_HEAD_DIM];
    unsigned row = blockIdx.y, warp = threadIdx.x / WARP, head_dim = cache.head_dim;
    unsigned place = cache.places[row], position = rows[row].position;
    unsigned head = blockIdx.x * HEADS_PER_BLOCK + warp;
    if (place == NONE || head >= n_heads + 2 * cache.n_kv_heads) {
        return;
    }
    // Of queries, keys, values.
    unsigned kind = head < n_heads ? 0 : head < n_heads + cache.n_kv_heads ? 1 : 2;
    head -= kind == 0 ? 0 : n_heads + (kind - 1) * cache.n_kv_heads;

    Heads from = kind == 0 ? heads[0] : kind == 1 ? heads[1] : heads[2];
    Head own;
    own.load(from.head(row, head, head_dim), head_dim);
    const float *norm = kind == 0 ? recipe.query_norm : kind == 1 ? recipe.key_norm : nullptr;
    if (norm != nullptr) {
        own.normalize(norm, head_dim, recipe.eps, recipe.offset);
    }
    if (recipe.turns != nullptr && kind < 2) {
        const float2 *turns = recipe.turns + size_t(row) * recipe.n_pairs;
        own.turn(turns, recipe.n_pairs, recipe.interleaved, exchange[warp]);
    }
    if (kind == 0) {
        float *to = queries + size_t(row) * heads[0].stride + head * head_dim;
        own.store(to, head_dim, recipe.factor(position));
        return;
    }
    size_t block = place / BLOCK_LEN;
    unsigned char *to = kind == 1 ? cache.keys : cache.values;
    to += (block * cache.n_kv_heads + head) * Format::head_bytes(head_dim);
#pragma unroll
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (i * WARP < head_dim) {
            Format::put(to, place % BLOCK_LEN, i * WARP, head_dim, own.values[i]);
        }
    }
}

#define APPEND(name, Format)                                                                       \
    extern "C" __global__ void name(                                                               \
        float *queries, const float *keys, const float *values, unsigned query_stride,             \
        unsigned key_stride, unsigned value_stride, const float *query_norm,                       \
        const float *key_norm, float eps, float offset, const float2 *turns, unsigned n_pairs,     \
        unsigned interleaved, float scale, float growth, unsigned period, const Row *rows,         \
        const unsigned *places, unsigned char *cached_keys, unsigned char *cached_values,          \
        unsigned n_heads, unsigned n_kv_heads, unsigned head_dim) {                                \
        await_earlier_launches();                                                                  \
        const Heads heads[3] = {                                                                   \
            {queries, query_stride}, {keys, key_stride}, {values, value_stride}};                  \
        const Recipe recipe = {query_norm, key_norm, eps, offset, turns, n_pairs,                  \
                               interleaved != 0, scale, growth, period};                           \
        const Cache cache = {places, cached_keys, cached_values, n_kv_heads, head_dim};            \
        append<Format>(heads, queries, n_heads, recipe, rows, cache);                              \
    }                                                                                              \
    EXPORT(name)

APPEND(append_f32, KvF32)
APPEND(append_f16, KvF16)
APPEND(append_bf16, KvBf16)
APPEND(append_q8_0, KvQ8)
APPEND(append_fp8, KvFp8)

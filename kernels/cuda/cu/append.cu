// Before attention: angles of the positions, queries and keys made ready, keys and values stored.
#include "heads.cuh"
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
    Head<MAX_HEAD_DIM> own;
    own.load(from.head(row, head, head_dim), head_dim);
    recipe.apply(own, kind, row, head_dim, exchange[warp]);
    if (kind == 0) {
        float *to = queries + size_t(row) * heads[0].stride + head * head_dim;
        own.store(to, head_dim, recipe.factor(position));
        return;
    }
    size_t block = place / BLOCK_LEN;
    unsigned char *to = kind == 1 ? cache.keys : cache.values;
    to += (block * cache.n_kv_heads + head) * Format::head_bytes(head_dim);
    own.template put<Format>(to, place % BLOCK_LEN, head_dim);
}

#define APPEND(name, Format)                                                                       \
    extern "C" __global__ void name(                                                               \
        float *queries, const float *keys, const float *values, unsigned query_stride,             \
        unsigned key_stride, unsigned value_stride, RECIPE_PARAMETERS, const Row *rows,            \
        const unsigned *places, unsigned char *cached_keys, unsigned char *cached_values,          \
        unsigned n_heads, unsigned n_kv_heads, unsigned head_dim) {                                \
        await_earlier_launches();                                                                  \
        const Heads heads[3] = {                                                                   \
            {queries, query_stride}, {keys, key_stride}, {values, value_stride}};                  \
        const Recipe recipe = RECIPE;                                                              \
        const Cache cache = {places, cached_keys, cached_values, n_kv_heads, head_dim};            \
        append<Format>(heads, queries, n_heads, recipe, rows, cache);                              \
    }                                                                                              \
    EXPORT(name)

APPEND(append_f32, KvF32)
APPEND(append_f16, KvF16)
APPEND(append_bf16, KvBf16)
APPEND(append_q8_0, KvQ8)
APPEND(append_fp8, KvFp8)

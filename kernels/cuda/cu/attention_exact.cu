// Attention in float32 throughout, for any shape: what the fast kernels are compared with, and what
// takes their place where they have no shape.
#include "kv.cuh"
#include "step.cuh"

constexpr unsigned THREADS = 128;
constexpr unsigned DIMS_PER_THREAD = MAX_HEAD_DIM / THREADS;

// A block for each query: softmax is computed online, block of keys after block of keys, so that a
// query's sums are taken in the same order in any batch.
template <class Format>
__device__ __forceinline__ void attend(const float *queries, float *out, unsigned query_stride,
                                       unsigned out_stride, const unsigned *spans_of_rows, const Span *spans,
                                       const BlockList *lists, const unsigned *blocks,
                                       const unsigned char *keys, const unsigned char *values, unsigned n_heads,
                                       unsigned n_kv_heads, unsigned head_dim, unsigned window) {
    __shared__ float query[MAX_HEAD_DIM];
    __shared__ float scores[BLOCK_LEN];
    unsigned row = blockIdx.y, head = blockIdx.x;
    unsigned index = spans_of_rows[row];
    if (index == NONE) {
        return;
    }
    Span span = spans[index];
    unsigned position = span.position + row - span.first_row;
    unsigned from = position >= window ? position + 1 - window : 0;
    unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned kv_head = head / (n_heads / n_kv_heads);
    for (unsigned dim = threadIdx.x; dim < head_dim; dim += THREADS) {
        query[dim] = queries[size_t(row) * query_stride + head * head_dim + dim];
    }

    float sums[DIMS_PER_THREAD] = {};
    float largest = -INFINITY, total = 0.0f;
    for (unsigned first = from / BLOCK_LEN * BLOCK_LEN; first <= position; first += BLOCK_LEN) {
        size_t block = block_at(blocks, lists[index], first / BLOCK_LEN);
        size_t place = (block * n_kv_heads + kv_head) * Format::head_bytes(head_dim);
        // The query is there, and nobody needs the scores of the block before.
        __syncthreads();
        for (unsigned token = warp; token < BLOCK_LEN; token += THREADS / WARP) {
            bool is_seen = first + token >= from && first + token <= position;
            float product = 0.0f;
            for (unsigned dim = lane; is_seen && dim < head_dim; dim += WARP) {
                product += query[dim] * Format::get(keys + place, token, dim, head_dim);
            }
            product = warp_sum(product);
            if (lane == 0) {
                scores[token] = is_seen ? product : -INFINITY;
            }
        }
        __syncthreads();
        float new_largest = fmaxf(largest, warp_max(scores[lane]));
        float weight = expf(scores[lane] - new_largest);
        float factor = expf(largest - new_largest);
        total = total * factor + warp_sum(weight);
        largest = new_largest;
#pragma unroll
        for (unsigned i = 0; i < DIMS_PER_THREAD; i++) {
            sums[i] *= factor;
        }
        for (unsigned token = 0; token < BLOCK_LEN; token++) {
            float share = __shfl_sync(ALL_LANES, weight, token);
            // What no query sees may be no number.
            if (first + token < from || first + token > position) {
                continue;
            }
#pragma unroll
            for (unsigned i = 0; i < DIMS_PER_THREAD; i++) {
                unsigned dim = i * THREADS + threadIdx.x;
                if (dim < head_dim) {
                    sums[i] += share * Format::get(values + place, token, dim, head_dim);
                }
            }
        }
    }
#pragma unroll
    for (unsigned i = 0; i < DIMS_PER_THREAD; i++) {
        unsigned dim = i * THREADS + threadIdx.x;
        if (dim < head_dim) {
            out[size_t(row) * out_stride + head * head_dim + dim] = sums[i] / total;
        }
    }
}

#define ATTENTION_EXACT(name, Format)                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                    \
        name(const float *queries, float *out, unsigned query_stride, unsigned out_stride,                   \
             const unsigned *spans_of_rows, const Span *spans, const BlockList *lists,                       \
             const unsigned *blocks, const unsigned char *keys, const unsigned char *values,                 \
             unsigned n_heads, unsigned n_kv_heads, unsigned head_dim, unsigned window) {                    \
        attend<Format>(queries, out, query_stride, out_stride, spans_of_rows, spans, lists, blocks, keys,    \
                       values, n_heads, n_kv_heads, head_dim, window);                                       \
    }                                                                                                        \
    EXPORT(name)

ATTENTION_EXACT(attention_exact_f32, KvF32)
ATTENTION_EXACT(attention_exact_f16, KvF16)
ATTENTION_EXACT(attention_exact_bf16, KvBf16)
ATTENTION_EXACT(attention_exact_q8_0, KvQ8)

// Attention in float32 throughout, for any shape: what the fast kernels are compared with, and what
// takes their place where they have no shape.
#include "attention_layer.cuh"

constexpr unsigned THREADS = 128;
constexpr unsigned DIMS_PER_THREAD = MAX_HEAD_DIM / THREADS;

// A block for each query: softmax is computed online, block of keys after block of keys, so that a
// query's sums are taken in the same order in any batch.
template <class Format> __device__ __forceinline__ void attend(const Layer &layer, const Row *rows) {
    __shared__ float query[MAX_HEAD_DIM];
    __shared__ float scores[BLOCK_LEN];
    unsigned row = blockIdx.y, head = blockIdx.x, head_dim = layer.head_dim;
    unsigned position = rows[row].position;
    if (rows[row].span == NONE) {
        return;
    }
    Span span = layer.spans[rows[row].span];
    unsigned from = layer.first_seen(position);
    unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    unsigned kv_head = head / (layer.n_heads / layer.n_kv_heads);
    for (unsigned dim = threadIdx.x; dim < head_dim; dim += THREADS) {
        query[dim] = layer.queries[size_t(row) * layer.query_stride + head * head_dim + dim];
    }

    float sums[DIMS_PER_THREAD] = {};
    float largest = -INFINITY, total = 0.0f;
    for (unsigned first = from / BLOCK_LEN * BLOCK_LEN; first <= position; first += BLOCK_LEN) {
        size_t head_bytes = Format::head_bytes(head_dim);
        size_t place = layer.place(span, first / BLOCK_LEN, kv_head, head_bytes);
        // The query is there, and nobody needs the scores of the block before.
        __syncthreads();
        for (unsigned token = warp; token < BLOCK_LEN; token += THREADS / WARP) {
            bool is_seen = first + token >= from && first + token <= position;
            float product = 0.0f;
            for (unsigned dim = lane; is_seen && dim < head_dim; dim += WARP) {
                product += query[dim] * Format::get(layer.keys + place, token, dim, head_dim);
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
                    sums[i] += share * Format::get(layer.values + place, token, dim, head_dim);
                }
            }
        }
    }
    float factor = layer.factor(head, largest, total);
#pragma unroll
    for (unsigned i = 0; i < DIMS_PER_THREAD; i++) {
        unsigned dim = i * THREADS + threadIdx.x;
        if (dim < head_dim) {
            layer.out[size_t(row) * layer.out_stride + head * head_dim + dim] = sums[i] * factor;
        }
    }
}

#define ATTENTION_EXACT(name, Format)                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS) name(LAYER_PARAMETERS, const Row *rows) { \
        await_earlier_launches();                                                                  \
        const Layer layer = LAYER;                                                                 \
        attend<Format>(layer, rows);                                                               \
    }                                                                                              \
    EXPORT(name)

ATTENTION_EXACT(attention_exact_f32, KvF32)
ATTENTION_EXACT(attention_exact_f16, KvF16)
ATTENTION_EXACT(attention_exact_bf16, KvBf16)
ATTENTION_EXACT(attention_exact_q8_0, KvQ8)
ATTENTION_EXACT(attention_exact_fp8, KvFp8)

// What happens to activations between the products: norms, sums, gates, caps, chosen rows.
#include "activation.cuh"

// A block for each row. Each thread reads and writes its own elements only, so that `out` may be `x`.
extern "C" __global__ void rms_norm(const float *x, const float *weight, float *out, unsigned width,
                                    float eps, float offset) {
    __shared__ float parts[WARP];
    const float *row = x + size_t(blockIdx.x) * width;
    float *to = out + size_t(blockIdx.x) * width;
    bool in_fours = width % 4 == 0;
    unsigned n_fours = in_fours ? width / 4 : 0;

    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < n_fours; i += blockDim.x) {
        float4 v = reinterpret_cast<const float4 *>(row)[i];
        sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    for (unsigned i = 4 * n_fours + threadIdx.x; i < width; i += blockDim.x) {
        sum += row[i] * row[i];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) {
        parts[threadIdx.x / WARP] = sum;
    }
    __syncthreads();
    float total = 0.0f;
    for (unsigned warp = 0; warp < blockDim.x / WARP; warp++) {
        total += parts[warp];
    }
    float factor = 1.0f / sqrtf(total / static_cast<float>(width) + eps);

    for (unsigned i = threadIdx.x; i < n_fours; i += blockDim.x) {
        float4 v = reinterpret_cast<const float4 *>(row)[i];
        float4 w = reinterpret_cast<const float4 *>(weight)[i];
        reinterpret_cast<float4 *>(to)[i] =
            make_float4(v.x * factor * (w.x + offset), v.y * factor * (w.y + offset),
                        v.z * factor * (w.z + offset), v.w * factor * (w.w + offset));
    }
    for (unsigned i = 4 * n_fours + threadIdx.x; i < width; i += blockDim.x) {
        to[i] = row[i] * factor * (weight[i] + offset);
    }
}
EXPORT(rms_norm)

// sum += x
extern "C" __global__ void add(float *sum, const float *x, unsigned n) {
    unsigned i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (i + 4 <= n) {
        float4 a = *reinterpret_cast<const float4 *>(sum + i);
        float4 b = *reinterpret_cast<const float4 *>(x + i);
        *reinterpret_cast<float4 *>(sum + i) = make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
        return;
    }
    for (; i < n; i++) {
        sum[i] += x[i];
    }
}
EXPORT(add)

// gates = activation(gates) * up; the activation by its number.
extern "C" __global__ void gate(float *gates, const float *up, unsigned activation, unsigned n) {
    unsigned i = 4 * (blockIdx.x * blockDim.x + threadIdx.x);
    if (i + 4 <= n) {
        float4 a = *reinterpret_cast<const float4 *>(gates + i);
        float4 b = *reinterpret_cast<const float4 *>(up + i);
        *reinterpret_cast<float4 *>(gates + i) =
            make_float4(activate(activation, a.x) * b.x, activate(activation, a.y) * b.y,
                        activate(activation, a.z) * b.z, activate(activation, a.w) * b.w);
        return;
    }
    for (; i < n; i++) {
        gates[i] = activate(activation, gates[i]) * up[i];
    }
}
EXPORT(gate)

// out[i] = x[rows[i]], a block for each row.
extern "C" __global__ void select_rows(const float *x, const unsigned *rows, float *out, unsigned width) {
    copy_row(x + size_t(rows[blockIdx.x]) * width, out + size_t(blockIdx.x) * width, width);
}
EXPORT(select_rows)

// x = cap * tanh(x / cap)
extern "C" __global__ void softcap(float *x, unsigned n, float cap) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        x[i] = cap * tanhf(x[i] / cap);
    }
}
EXPORT(softcap)

// What happens to activations between the products: norms, sums, gates, caps, chosen rows.
#include "activation.cuh"
#include "norm.cuh"

// A block for each row: `out = norm(x)`, or `out += norm(x)` where it `adds`. Each thread reads and
// writes its own elements only, so that `out` may be `x`.
extern "C" __global__ void rms_norm(const float *x, const float *weight, float *out, unsigned width,
                                    float eps, float offset, unsigned adds) {
    __shared__ float parts[WARP];
    await_earlier_launches();
    const float *row = x + size_t(blockIdx.x) * width;
    float *to = out + size_t(blockIdx.x) * width;
    Norm norm = {weight, eps, offset};
    float factor = norm.factor(row, width, parts);
    unsigned n_fours = width % 4 == 0 ? width / 4 : 0;
    for (unsigned i = threadIdx.x; i < n_fours; i += blockDim.x) {
        float4 four = norm.four_of(row, i, factor);
        float4 *place = reinterpret_cast<float4 *>(to) + i;
        if (adds) {
            float4 sum = *place;
            four = make_float4(sum.x + four.x, sum.y + four.y, sum.z + four.z, sum.w + four.w);
        }
        *place = four;
    }
    for (unsigned i = 4 * n_fours + threadIdx.x; i < width; i += blockDim.x) {
        float value = norm.of(row, i, factor);
        to[i] = adds ? to[i] + value : value;
    }
}
EXPORT(rms_norm)

// sum += x
extern "C" __global__ void add(float *sum, const float *x, unsigned n) {
    await_earlier_launches();
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
    await_earlier_launches();
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
    await_earlier_launches();
    copy_row(x + size_t(rows[blockIdx.x]) * width, out + size_t(blockIdx.x) * width, width);
}
EXPORT(select_rows)

// x = cap * tanh(x / cap)
extern "C" __global__ void softcap(float *x, unsigned n, float cap) {
    await_earlier_launches();
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        x[i] = cap * tanhf(x[i] / cap);
    }
}
EXPORT(softcap)

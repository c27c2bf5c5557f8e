// Activations, rounded as they are or normalized.

#include "e4m3.cuh"
#include "int8_rows.cuh"
#include "norm.cuh"

// A block is rounded twice if its largest value is so many times that of the row's other blocks, on
// the average.
constexpr float OUTWEIGHS = 4.0f;

constexpr unsigned ROUND_THREADS = 512;

// The scale above which units of a row are rounded twice: so many times the average of those that are
// not above it. One enormous value does not hide another that is merely large. Each warp finds it for
// itself, so that none waits for others.
__device__ float limit_of(const float *scales, unsigned n_units) {
    float limit = __uint_as_float(0x7f800000u);
    while (true) {
        float sum = 0.0f, count = 0.0f;
        for (unsigned unit = threadIdx.x % WARP; unit < n_units; unit += WARP) {
            if (scales[unit] <= limit) {
                sum += scales[unit], count += 1.0f;
            }
        }
        float lower = OUTWEIGHS * warp_sum(sum) / warp_sum(count);
        // Not where there is nothing, or no number, to compare with.
        if (!(lower < limit)) {
            return limit;
        }
        limit = lower;
    }
}

// Rounds to int8: a block for each row of `x`, `[rows, width]`, with shared memory for the scale of
// each unit, and a number for each warp. Rows are normalized before, where there is a weight.
extern "C" __global__ void __launch_bounds__(ROUND_THREADS)
    round_int8(const float *x, unsigned width, const float *weight, float eps, float offset,
               signed char *codes, uint2 *meta, signed char *again_codes, uint2 *again_meta) {
    DYNAMIC_SHARED(float, shared);
    await_earlier_launches();
    float *scales = shared + NORM_LANES / WARP;
    unsigned n_units = width / UNIT;
    size_t first_unit = static_cast<size_t>(blockIdx.x) * n_units;
    // Eight threads have a unit, each four values of it.
    unsigned part = threadIdx.x % 8;
    const float *row = x + first_unit * UNIT;
    Norm norm = {weight, eps, offset};
    float factor = norm.factor(row, width, shared);
    unsigned *row_codes = reinterpret_cast<unsigned *>(codes) + first_unit * 8;
    unsigned n_at_once = blockDim.x / 8, rounds = (n_units + n_at_once - 1) / n_at_once;
    for (unsigned i = 0; i < rounds; i++) {
        unsigned unit = i * n_at_once + threadIdx.x / 8;
        bool is_there = unit < n_units;
        float4 values = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (is_there) {
            values = norm.four_of(row, unit * 8 + part, factor);
        }
        RoundedPart rounded = round_part(values);
        if (is_there) {
            row_codes[unit * 8 + part] = rounded.codes;
            if (part == 0) {
                scales[unit] = rounded.scale;
                meta[first_unit + unit] = rounded.meta();
            }
        }
    }
    __syncthreads();
    float limit = limit_of(scales, n_units);
    for (unsigned i = 0; i < rounds; i++) {
        unsigned unit = i * n_at_once + threadIdx.x / 8;
        bool is_due = unit < n_units && scales[unit] > limit;
        float4 rest = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (is_due) {
            // Each thread reads what it has written itself.
            float4 values = norm.four_of(row, unit * 8 + part, factor);
            rest = rest_of(values, row_codes[unit * 8 + part], scales[unit]);
        }
        RoundedPart rounded = round_part(rest);
        if (is_due) {
            reinterpret_cast<unsigned *>(again_codes)[(first_unit + unit) * 8 + part] = rounded.codes;
            if (part == 0) {
                again_meta[first_unit + unit] = rounded.meta();
                meta[first_unit + unit].x |= ROUNDED_TWICE;
            }
        }
    }
}
EXPORT(round_int8)

// Rounds `x`, `[rows, width]`, to bfloat16, `[rows, padded]`: what is behind a row is zero. A block
// for each row. Rows are normalized before, where there is a weight.
extern "C" __global__ void __launch_bounds__(ROUND_THREADS)
    round_bf16(const float *x, unsigned width, const float *weight, float eps, float offset, uint16_t *out,
               unsigned padded) {
    __shared__ float parts[ROUND_THREADS / WARP];
    await_earlier_launches();
    const float *row = x + static_cast<size_t>(blockIdx.x) * width;
    uint16_t *out_row = out + static_cast<size_t>(blockIdx.x) * padded;
    Norm norm = {weight, eps, offset};
    float factor = norm.factor(row, width, parts);
    for (unsigned first = threadIdx.x * 4; first < padded; first += ROUND_THREADS * 4) {
        float values[4];
        for (unsigned i = 0; i < 4; i++) {
            values[i] = first + i < width ? norm.of(row, first + i, factor) : 0.0f;
        }
        uint2 packed = make_uint2(pack_bf16(values[0], values[1]), pack_bf16(values[2], values[3]));
        *reinterpret_cast<uint2 *>(out_row + first) = packed;
    }
}
EXPORT(round_bf16)

// The largest number of E4M3, and what is smaller than a group may be: the inverse of its scale would be
// infinite.
constexpr float LARGEST_E4M3 = 448.0f, LEAST_OF_GROUP = 1e-35f;

// Rounds `x`, `[rows, width]`, to E4M3, `[rows, padded]`, with a scale for each 128 values, `[rows,
// padded / 128]`: what is behind a row is zero. A block for each row, a warp for each group, of which
// every thread has four values. Rows are normalized before, where there is a weight.
extern "C" __global__ void __launch_bounds__(ROUND_THREADS)
    round_fp8(const float *x, unsigned width, const float *weight, float eps, float offset, unsigned *out,
              float *scales, unsigned padded) {
    __shared__ float parts[ROUND_THREADS / WARP];
    await_earlier_launches();
    const float *row = x + static_cast<size_t>(blockIdx.x) * width;
    size_t first_group = static_cast<size_t>(blockIdx.x) * (padded / (4 * WARP));
    Norm norm = {weight, eps, offset};
    float factor = norm.factor(row, width, parts);
    for (unsigned four = threadIdx.x; four < padded / 4; four += ROUND_THREADS) {
        float values[4];
        unsigned largest = 0;
        for (unsigned i = 0; i < 4; i++) {
            values[i] = 4 * four + i < width ? norm.of(row, 4 * four + i, factor) : 0.0f;
            // As whole numbers, magnitudes have their order, and what is no number is larger than all.
            largest = max(largest, magnitude_bits(values[i]));
        }
        for (unsigned step = WARP / 2; step > 0; step /= 2) {
            largest = max(largest, __shfl_xor_sync(ALL_LANES, largest, step));
        }
        float magnitude = __uint_as_float(largest);
        float inverse = magnitude > LEAST_OF_GROUP ? LARGEST_E4M3 / magnitude : 0.0f;
        unsigned codes = 0;
        for (unsigned i = 0; i < 4; i++) {
            codes |= static_cast<unsigned>(f32_to_e4m3(values[i] * inverse)) << (8 * i);
        }
        out[first_group * WARP + four] = codes;
        if (threadIdx.x % WARP == 0) {
            scales[first_group + four / WARP] = magnitude / LARGEST_E4M3;
        }
    }
}
EXPORT(round_fp8)

// Rounds likewise, with a power of two for each 32 values, `[rows, padded / 32]`: bytes that are 127 above its
// exponent. Eight threads have such a unit.
extern "C" __global__ void __launch_bounds__(ROUND_THREADS)
    round_mxfp8(const float *x, unsigned width, const float *weight, float eps, float offset, unsigned *out,
                uint8_t *powers, unsigned padded) {
    __shared__ float parts[ROUND_THREADS / WARP];
    await_earlier_launches();
    const float *row = x + static_cast<size_t>(blockIdx.x) * width;
    size_t first_four = static_cast<size_t>(blockIdx.x) * (padded / 4);
    Norm norm = {weight, eps, offset};
    float factor = norm.factor(row, width, parts);
    for (unsigned four = threadIdx.x; four < padded / 4; four += ROUND_THREADS) {
        float values[4];
        unsigned largest = 0;
        for (unsigned i = 0; i < 4; i++) {
            values[i] = 4 * four + i < width ? norm.of(row, 4 * four + i, factor) : 0.0f;
            largest = max(largest, magnitude_bits(values[i]));
        }
        for (unsigned step = 4; step > 0; step /= 2) {
            largest = max(largest, __shfl_xor_sync(ALL_LANES, largest, step));
        }
        // The least power by which the largest number is not beyond 448, which is 1.75 * 2^8: what is added
        // carries beyond that fraction.
        unsigned power = max((largest + 0x1fffffu) >> 23, 8u) - 8;
        // Of what is no number nothing is left, but that it is none.
        float inverse = __uint_as_float(largest < 0x7f800000u ? (254 - power) << 23 : 0x7fc00000u);
        unsigned codes = 0;
        for (unsigned i = 0; i < 4; i++) {
            codes |= static_cast<unsigned>(f32_to_e4m3(values[i] * inverse)) << (8 * i);
        }
        out[first_four + four] = codes;
        if (four % (UNIT / 4) == 0) {
            powers[(first_four + four) / (UNIT / 4)] = static_cast<uint8_t>(power);
        }
    }
}
EXPORT(round_mxfp8)

// The power of two that takes numbers of this size, of float32, to the upper end of half precision; and
// the one that takes them back. Both are ordinary numbers.
__device__ __forceinline__ void scales_of(float largest, float &there, float &back) {
    // Numbers from 1 on have exponents from 127 on; the largest one becomes 2^14 to 2^15.
    unsigned exponent = __float_as_uint(largest) >> 23;
    unsigned power = min(127 + 14 + 127 - exponent, 253u);
    there = __uint_as_float(power << 23), back = __uint_as_float((254 - power) << 23);
}

// Rounds `x`, `[rows, width]`, to half precision, `[rows, padded]`: what is behind a row is zero. A row
// is scaled before, by the inverse of its scale, so that it has the range. A block for each row.
extern "C" __global__ void __launch_bounds__(ROUND_THREADS)
    round_f16(const float *x, unsigned width, uint16_t *out, unsigned padded, float *scales) {
    __shared__ float parts[ROUND_THREADS / WARP];
    const float *row = x + static_cast<size_t>(blockIdx.x) * width;
    uint16_t *out_row = out + static_cast<size_t>(blockIdx.x) * padded;
    float largest = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += ROUND_THREADS) {
        largest = fmaxf(largest, fabsf(row[i]));
    }
    largest = warp_max(largest);
    if (threadIdx.x % WARP == 0) {
        parts[threadIdx.x / WARP] = largest;
    }
    __syncthreads();
    for (unsigned i = 0; i < ROUND_THREADS / WARP; i++) {
        largest = fmaxf(largest, parts[i]);
    }
    float there, back;
    scales_of(largest, there, back);
    if (threadIdx.x == 0) {
        scales[blockIdx.x] = back;
    }
    for (unsigned i = threadIdx.x; i < padded; i += ROUND_THREADS) {
        out_row[i] = f32_to_f16(i < width ? row[i] * there : 0.0f);
    }
}
EXPORT(round_f16)

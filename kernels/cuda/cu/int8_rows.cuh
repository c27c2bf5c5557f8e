// Activations as `scale * code`, with a scale for each 32 values (a unit) and codes within 127.
//
// Beside the scale stand the sums of the codes in each half of the unit, which formats with a centre
// or a minimum need. Where one value outweighs its row, whatever else is in the unit would be lost; so
// what rounding took from such a unit is rounded in turn, to a scale of its own, and the sign bit of
// the first scale says so.
#pragma once

#include "blocks.cuh"

constexpr unsigned ROUNDED_TWICE = 0x80000000u;

struct Int8Rows {
    // [rows, width], 32 bytes of a unit.
    const signed char *codes;
    // [rows, width / 32]: the scale, and the two sums as halves of a word.
    const uint2 *meta;
    // The second roundings, where there are.
    const signed char *again_codes;
    const uint2 *again_meta;
};

// A unit of activations.
struct RoundedUnit {
    int codes[8];
    float scale;
    int sums[2];
    bool is_twice;

    __device__ __forceinline__ RoundedUnit(const signed char *all_codes, const uint2 *all_meta, size_t unit) {
        const int4 *from = reinterpret_cast<const int4 *>(all_codes + unit * UNIT);
        int4 first = from[0], second = from[1];
        uint2 meta = all_meta[unit];
        codes[0] = first.x, codes[1] = first.y, codes[2] = first.z, codes[3] = first.w;
        codes[4] = second.x, codes[5] = second.y, codes[6] = second.z, codes[7] = second.w;
        is_twice = (meta.x & ROUNDED_TWICE) != 0;
        scale = __uint_as_float(meta.x & ~ROUNDED_TWICE);
        sums[0] = static_cast<int16_t>(meta.y), sums[1] = static_cast<int16_t>(meta.y >> 16);
    }
};

// Four values of a unit, rounded together with those of the seven neighbouring threads.
struct RoundedPart {
    unsigned codes;
    float scale;
    int lower_sum, upper_sum;

    __device__ __forceinline__ uint2 meta() const {
        unsigned lower = static_cast<unsigned>(lower_sum) & 0xffffu;
        unsigned upper = static_cast<unsigned>(upper_sum) << 16;
        return make_uint2(__float_as_uint(scale), lower | upper);
    }
};

// What is smaller counts as nothing: the inverse of its scale would be infinite.
constexpr float LEAST_MAGNITUDE = 1e-36f;

__device__ __forceinline__ int round_value(float value, float inverse) {
    return __float2int_rn(fminf(fmaxf(value * inverse, -127.0f), 127.0f));
}

__device__ __forceinline__ unsigned magnitude_bits(float value) {
    return __float_as_uint(value) & 0x7fffffffu;
}

// To be called by all threads of a warp.
__device__ __forceinline__ RoundedPart round_part(float4 values) {
    // As whole numbers, magnitudes have their order, and what is no number is larger than all: so it
    // becomes the scale.
    unsigned largest = max(max(magnitude_bits(values.x), magnitude_bits(values.y)),
                           max(magnitude_bits(values.z), magnitude_bits(values.w)));
    for (unsigned step = 4; step > 0; step /= 2) {
        largest = max(largest, __shfl_xor_sync(ALL_LANES, largest, step));
    }
    float magnitude = __uint_as_float(largest);
    float inverse = magnitude > LEAST_MAGNITUDE ? 127.0f / magnitude : 0.0f;
    int x = round_value(values.x, inverse), y = round_value(values.y, inverse);
    int z = round_value(values.z, inverse), w = round_value(values.w, inverse);
    int sum = x + y + z + w;
    sum += __shfl_xor_sync(ALL_LANES, sum, 1);
    sum += __shfl_xor_sync(ALL_LANES, sum, 2);
    // Of the eight threads, the first four have the lower half.
    int other = __shfl_xor_sync(ALL_LANES, sum, 4);
    bool is_upper = threadIdx.x & 4;
    RoundedPart rounded;
    rounded.codes = (x & 0xff) | ((y & 0xff) << 8) | ((z & 0xff) << 16) | (static_cast<unsigned>(w) << 24);
    rounded.scale = magnitude / 127.0f;
    rounded.lower_sum = is_upper ? other : sum;
    rounded.upper_sum = is_upper ? sum : other;
    return rounded;
}

// What the first rounding took from four values.
__device__ __forceinline__ float4 rest_of(float4 values, unsigned codes, float scale) {
    return make_float4(values.x - scale * static_cast<float>(static_cast<int8_t>(codes)),
                       values.y - scale * static_cast<float>(static_cast<int8_t>(codes >> 8)),
                       values.z - scale * static_cast<float>(static_cast<int8_t>(codes >> 16)),
                       values.w - scale * static_cast<float>(static_cast<int8_t>(codes >> 24)));
}

// Weights of any encoding as numbers that tensor cores multiply, in shared memory.
#pragma once

#include "cores.cuh"
#include "weights.cuh"

// How weights come to shared memory as numbers of a type: rounded by the threads, in as many terms as
// keep their bits, or copied.
template <class Encoding, class Number> struct Widened {
    static constexpr bool IS_COPIED = false;
    static constexpr unsigned TERMS = 1;
};

// Eleven significant bits are the sum of two numbers of eight.
template <> struct Widened<f16, bf16> {
    static constexpr bool IS_COPIED = false;
    static constexpr unsigned TERMS = 2;
};

template <class Number> struct Widened<Number, Number> {
    static constexpr bool IS_COPIED = true;
    static constexpr unsigned TERMS = 1;
};

// What is rounded of half a unit: the values, or, where sums are scaled, codes, which both types have.
template <class Encoding>
__device__ __forceinline__ void unscaled_values(const typename Reader<Encoding>::Half &raw, unsigned half,
                                                float (&values)[16]) {
    if constexpr (IS_GROUPED<Encoding>) {
        Reader<Encoding>::codes(raw, values);
    } else {
        Reader<Encoding>::values(raw, half, values);
    }
}

// Rounds half a unit in so many terms, and stores it: `place(term, i)` is where eight values go, the
// first or the second ones. Of the values nothing is left.
template <class Number, unsigned TERMS, class Place>
__device__ __forceinline__ void store_rounded(float (&values)[16], Place place) {
#pragma unroll
    for (unsigned term = 0; term < TERMS; term++) {
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            unsigned pairs[4];
#pragma unroll
            for (unsigned k = 0; k < 4; k++) {
                float *pair = values + 8 * i + 2 * k;
                pairs[k] = Cores<Number>::round_pair(pair[0], pair[1]);
                // What the next term has to stand for.
                float rounded[2];
                Number::values(pairs + k, rounded);
                pair[0] -= rounded[0], pair[1] -= rounded[1];
            }
            *reinterpret_cast<uint4 *>(place(term, i)) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        }
    }
}

// Stores a unit of E2M1, each number in the middle of a byte: `place(i)` is where sixteen go.
template <class Place> __device__ __forceinline__ void store_e2m1(const unsigned (&codes)[4], Place place) {
#pragma unroll
    for (unsigned i = 0; i < 2; i++) {
        unsigned words[4];
#pragma unroll
        for (unsigned k = 0; k < 4; k++) {
            // Four numbers side by side, drawn apart.
            unsigned four = codes[2 * i + k / 2] >> (16 * (k % 2)) & 0xffffu;
            unsigned pairs = (four | four << 8) & 0x00ff00ffu;
            words[k] = ((pairs | pairs << 4) & 0x0f0f0f0fu) << 2;
        }
        *reinterpret_cast<uint4 *>(place(i)) = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

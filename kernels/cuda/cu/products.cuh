// What is computed from one input in one launch: up to three matrices of the same encoding, each with
// an output of its own; or a gate and what it gates, with one output. Where there are experts, a matrix
// is that of all of them.
#pragma once

#include "activation.cuh"
#include "columns.cuh"

// The arguments of every kernel of products. `rows` are those of a matrix, or of one expert's, 0 where
// there is none.
// Flags: bit i adds to output i what others replace; bits 4 and 5 have the activation of a gate, 0 for
// products that are not gated; bits 6 and 7 that of a gate which the output already holds.
#define PRODUCTS_PARAMETERS                                                                        \
    const uint8_t *weights0, const uint8_t *weights1, const uint8_t *weights2, unsigned rows0,     \
        unsigned rows1, unsigned rows2, const float *bias0, const float *bias1, const float *bias2, \
        float *out0, float *out1, float *out2, unsigned flags, CHOICE_PARAMETERS

#define PRODUCTS                                                                                   \
    Products {                                                                                     \
        weights0, weights1, weights2, rows0, rows1, rows2, bias0, bias1, bias2, out0, out1, out2, flags, \
            Choice{tiles, order, n_experts, sharers}                                               \
    }

// One matrix with its output.
struct Part {
    const uint8_t *weights;
    unsigned n_rows;
    const float *bias;
    float *out;
    bool adds;
};

struct Products {
    const uint8_t *weights0, *weights1, *weights2;
    unsigned rows0, rows1, rows2;
    const float *bias0, *bias1, *bias2;
    float *out0, *out1, *out2;
    unsigned flags;
    Choice choice;

    __device__ __forceinline__ unsigned activation() const { return (flags >> 4) & 3; }
    __device__ __forceinline__ unsigned out_activation() const { return (flags >> 6) & 3; }

    __device__ __forceinline__ Part part(unsigned i) const {
        bool adds = (flags >> i) & 1;
        return i == 0   ? Part{weights0, rows0, bias0, out0, adds}
               : i == 1 ? Part{weights1, rows1, bias1, out1, adds}
                        : Part{weights2, rows2, bias2, out2, adds};
    }
};

// Consecutive rows of one part, or, where products are gated, half as many of the gate and of what it
// gates.
struct Tile {
    // The gate, where there is one.
    Part part;
    // What it gates.
    Part up;
    unsigned activation, out_activation;
    // Of the part, or of both.
    unsigned first_row;
    // Of the part.
    unsigned number;

    // Tile number `index` where tiles have `size` rows, of both together where products are gated.
    // Behind the last tile: rows that no part has.
    __device__ __forceinline__ Tile(const Products &products, unsigned index, unsigned size) {
        activation = products.activation(), out_activation = products.out_activation();
        if (activation) {
            part = products.part(0), up = products.part(1);
            first_row = index * (size / 2);
            number = 0;
            return;
        }
        unsigned tiles0 = (products.rows0 + size - 1) / size;
        unsigned tiles1 = (products.rows1 + size - 1) / size;
        number = index < tiles0 ? 0 : index < tiles0 + tiles1 ? 1 : 2;
        part = up = products.part(number);
        first_row = (index - (number > 0 ? tiles0 : 0) - (number > 1 ? tiles1 : 0)) * size;
    }

    // Whether row number `i` of the tile belongs to what is gated, and which row it is there, where
    // groups of `group` rows take turns.
    __device__ __forceinline__ bool is_up(unsigned i, unsigned group) const {
        return activation && i / group % 2 == 1;
    }
    __device__ __forceinline__ unsigned row(unsigned i, unsigned group) const {
        return first_row + (activation ? i / (2 * group) * group + i % group : i);
    }

    __device__ __forceinline__ const uint8_t *weights(unsigned i, unsigned group) const {
        return is_up(i, group) ? up.weights : part.weights;
    }

    // Writes a value of `out`, `[columns, n_rows]`; `up_sum` counts only where products are gated.
    __device__ __forceinline__ void write(unsigned row, unsigned column, float sum, float up_sum) const {
        if (row >= part.n_rows) {
            return;
        }
        float value = sum + (part.bias ? part.bias[row] : 0.0f);
        if (activation) {
            value = activate(activation, value) * (up_sum + (up.bias ? up.bias[row] : 0.0f));
        }
        size_t at = static_cast<size_t>(column) * part.n_rows + row;
        if (part.adds) {
            value += part.out[at];
        } else if (out_activation) {
            value *= activate(out_activation, part.out[at]);
        }
        part.out[at] = value;
    }

    // The same for a row, which is even, and the next one, where no output holds a gate.
    __device__ __forceinline__ void write_pair(unsigned row, unsigned column, float2 sums,
                                               float2 up_sums) const {
        if (row >= part.n_rows) {
            return;
        }
        // Rows of an even length begin where pairs do.
        bool is_even = part.n_rows % 2 == 0, has_both = row + 1 < part.n_rows;
        add_pair(sums, part.bias, row, is_even, has_both);
        if (activation) {
            add_pair(up_sums, up.bias, row, is_even, has_both);
            sums.x = activate(activation, sums.x) * up_sums.x;
            sums.y = activate(activation, sums.y) * up_sums.y;
        }
        float *out = part.out + static_cast<size_t>(column) * part.n_rows;
        add_pair(sums, part.adds ? out : nullptr, row, is_even, has_both);
        if (is_even) {
            *reinterpret_cast<float2 *>(out + row) = sums;
            return;
        }
        out[row] = sums.x;
        if (has_both) {
            out[row + 1] = sums.y;
        }
    }

  private:
    static __device__ __forceinline__ void add_pair(float2 &sums, const float *numbers, unsigned row,
                                                    bool is_even, bool has_both) {
        if (!numbers) {
            return;
        }
        if (is_even) {
            float2 pair = *reinterpret_cast<const float2 *>(numbers + row);
            sums.x += pair.x, sums.y += pair.y;
            return;
        }
        sums.x += numbers[row];
        if (has_both) {
            sums.y += numbers[row + 1];
        }
    }
};

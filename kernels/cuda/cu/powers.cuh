// Powers of two of units of 32 values, which tensor cores multiply by: of a tile of weights in shared memory,
// of activations in registers.
#pragma once

#include "products.cuh"
#include "weights.cuh"

// Of the units in a step of 64 bytes, and of those in a group of activations.
constexpr unsigned POWERS_OF_STEP = 2, POWERS_OF_GROUP = GROUP / UNIT;

// For a tile of `ROWS` rows, and a warp that has `WIDE` fragments; where there are none nothing is done.
template <bool ARE_THERE, unsigned ROWS, unsigned WIDE> struct Powers {
    __device__ __forceinline__ explicit Powers(uint16_t *) {}
};

template <unsigned ROWS, unsigned WIDE> struct Powers<true, ROWS, WIDE> {
    // [2 stages][ROWS][2]
    uint8_t *weights;
    // Those of a group of the column that the lane has in each fragment, a byte each; and of the next
    // group, which are loaded long before they are used.
    unsigned present[WIDE], next[WIDE];

    __device__ __forceinline__ explicit Powers(uint16_t *shared)
        : weights(reinterpret_cast<uint8_t *>(shared)) {}

    // Of a row's unit in a step.
    __device__ __forceinline__ uint8_t &of_weights(unsigned stage, unsigned row, unsigned unit) const {
        return weights[(stage * ROWS + row) * POWERS_OF_STEP + unit];
    }

    // Begins group `number`, where rows have `n_groups`, and the warp the columns from `first` on.
    __device__ __forceinline__ void open(const float *all, const Columns &columns, unsigned n_groups,
                                         unsigned number, unsigned first, bool is_first) {
        const unsigned *groups = reinterpret_cast<const unsigned *>(all);
#pragma unroll
        for (unsigned j = 0; j < WIDE; j++) {
            // Columns behind the last are never written.
            unsigned column = min(first + 8 * j + threadIdx.x % WARP / 4, columns.n - 1);
            const unsigned *own = groups + static_cast<size_t>(columns.input(column)) * n_groups;
            present[j] = is_first ? own[number] : next[j];
            next[j] = own[min(number + 1, n_groups - 1)];
        }
    }

    // In the lowest byte: that of a column's unit.
    __device__ __forceinline__ unsigned of_column(unsigned j, unsigned unit) const {
        return present[j] >> (8 * (unit % POWERS_OF_GROUP));
    }
};

// Sums of a group of values at a time, which are scaled before they are added up.
#pragma once

#include "products.cuh"
#include "weights.cuh"

// Those of a warp that has `HIGH` by `WIDE` fragments; where nothing is scaled there are none.
template <bool IS_GROUPED, unsigned HIGH, unsigned WIDE> struct GroupSums {};

template <unsigned HIGH, unsigned WIDE> struct GroupSums<true, HIGH, WIDE> {
    float sums[HIGH][WIDE][4];
    // Of the two rows of weights that the lane has in each fragment.
    float scales[HIGH][2];

    // Begins group `number` of rows of so many groups, of which the warp has those from `first_row` of the
    // tile on. Scales are loaded here, so that they are there when the sums are.
    template <class Encoding>
    __device__ __forceinline__ void open(const Reader<Encoding> &reader, const Tile &tile,
                                         const Columns &columns, unsigned n_groups, unsigned number,
                                         unsigned first_row) {
        unsigned lane = threadIdx.x % WARP;
#pragma unroll
        for (unsigned i = 0; i < HIGH; i++) {
#pragma unroll
            for (unsigned e = 0; e < 2; e++) {
                unsigned place = first_row + 16 * i + 8 * e + lane / 4;
                // Rows that do not exist are never written.
                unsigned row = min(tile.row(place, 8), tile.part.n_rows - 1);
                size_t first = static_cast<size_t>(columns.row_of_all(row, tile.part.n_rows)) * n_groups;
                scales[i][e] = reader.scale(tile.weights(place, 8), first + number);
            }
#pragma unroll
            for (unsigned j = 0; j < WIDE; j++) {
#pragma unroll
                for (unsigned e = 0; e < 4; e++) {
                    sums[i][j][e] = 0.0f;
                }
            }
        }
    }

    __device__ __forceinline__ void close(float (&all)[HIGH][WIDE][4]) const {
#pragma unroll
        for (unsigned i = 0; i < HIGH; i++) {
#pragma unroll
            for (unsigned j = 0; j < WIDE; j++) {
#pragma unroll
                for (unsigned e = 0; e < 4; e++) {
                    all[i][j][e] += scales[i][e / 2] * sums[i][j][e];
                }
            }
        }
    }
};

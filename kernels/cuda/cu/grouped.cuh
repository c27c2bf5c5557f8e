// Sums of a group of values at a time, which are scaled before they are added up.
#pragma once

#include "products.cuh"
#include "weights.cuh"

// Scales of a group of the two rows of activations that a lane has in each of `WIDE` fragments.
template <bool ARE_SCALED, unsigned WIDE> struct ColumnScales {
    __device__ __forceinline__ void load(const float *, const Columns &, unsigned, unsigned, unsigned) {}
    __device__ __forceinline__ float of(unsigned, unsigned) const { return 1.0f; }
};

template <unsigned WIDE> struct ColumnScales<true, WIDE> {
    float scales[WIDE][2];

    // Those of group `number`, where rows have so many, and the warp the columns from `first` on.
    __device__ __forceinline__ void load(const float *all, const Columns &columns, unsigned n_groups,
                                         unsigned number, unsigned first) {
#pragma unroll
        for (unsigned j = 0; j < WIDE; j++) {
#pragma unroll
            for (unsigned e = 0; e < 2; e++) {
                // Columns behind the last are never written.
                unsigned column = min(first + 8 * j + threadIdx.x % 4 * 2 + e, columns.n - 1);
                scales[j][e] = all[static_cast<size_t>(columns.input(column)) * n_groups + number];
            }
        }
    }

    __device__ __forceinline__ float of(unsigned j, unsigned e) const { return scales[j][e]; }
};

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

    // Adds them up, multiplied by the scales.
    template <class Scales>
    __device__ __forceinline__ void close(const Scales &columns, float (&all)[HIGH][WIDE][4]) const {
#pragma unroll
        for (unsigned i = 0; i < HIGH; i++) {
#pragma unroll
            for (unsigned j = 0; j < WIDE; j++) {
#pragma unroll
                for (unsigned e = 0; e < 4; e++) {
                    all[i][j][e] += columns.of(j, e % 2) * (scales[i][e / 2] * sums[i][j][e]);
                }
            }
        }
    }
};

// Products with few rows of activations: every weight is read once and multiplied at once.
//
// A team of one, two or four warps has a few rows of weights (a tile). Its lanes take chunks of the
// rows in turn, so that a load of a warp is a run of whole lines; the sums of the lanes, and those of
// the warps, are added up at the end. For one row of weights and one of activations this order is
// always the same, whatever else is computed beside it.
#pragma once

#include "products.cuh"

constexpr unsigned MATVEC_WARPS = 4;

// Rows of weights of a team, for so many rows of activations.
template <unsigned N> constexpr unsigned TILE_ROWS = N <= 2 ? 2 : 4;

// Adds up what the lanes of a team have, and writes it. `sums[i][j]` belongs to row i of the tile and
// row j of activations, of which there are `n`.
template <unsigned ROWS, unsigned N>
__device__ __forceinline__ void finish(const Tile &tile, unsigned n, unsigned warps_of_team,
                                       float (&sums)[ROWS][N], float *shared) {
    unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    // Lane `i * N + j` keeps the sum of row i and row j of activations.
    float mine = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < ROWS; i++) {
#pragma unroll
        for (unsigned j = 0; j < N; j++) {
            float sum = warp_sum(sums[i][j]);
            mine = lane == i * N + j ? sum : mine;
        }
    }
    if (warps_of_team > 1) {
        shared[threadIdx.x] = mine;
        __syncthreads();
        mine = 0.0f;
        for (unsigned i = 0; i < warps_of_team; i++) {
            mine += shared[(warp / warps_of_team * warps_of_team + i) * WARP + lane];
        }
        if (warp % warps_of_team != 0) {
            return;
        }
    }
    // Where products are gated, rows of the gate and of what it gates take turns.
    float up = __shfl_down_sync(ALL_LANES, mine, N);
    unsigned i = lane / N, j = lane % N;
    if (i < ROWS && j < n && !tile.is_up(i, 1)) {
        tile.write(tile.row(i, 1), j, mine, up);
    }
}

// What a team works on.
template <unsigned ROWS> struct Team {
    Tile tile;
    // Chunks that it takes at a time, and the first of the calling lane.
    unsigned stride, first;
    // Of each row: where its matrix is, and which row it is there. Rows behind the last are the last.
    const uint8_t *weights[ROWS];
    unsigned rows[ROWS];

    __device__ __forceinline__ Team(const Products &products, unsigned warps_of_team)
        : tile(products,
               blockIdx.x * (MATVEC_WARPS / warps_of_team) + threadIdx.x / (WARP * warps_of_team), ROWS) {
        stride = WARP * warps_of_team;
        first = threadIdx.x % stride;
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            weights[i] = tile.weights(i, 1);
            rows[i] = min(tile.row(i, 1), max(tile.part.n_rows, 1u) - 1);
        }
    }

    __device__ __forceinline__ bool is_there() const { return tile.first_row < tile.part.n_rows; }
};

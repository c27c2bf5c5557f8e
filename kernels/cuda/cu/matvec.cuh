// Products with few rows of activations: every weight is read once and multiplied at once.
//
// A team of one, two or four warps has a few rows of weights (a tile). Its lanes take chunks of the
// rows in turn, so that a load of a warp is a run of whole lines; the sums of the lanes, and those of
// the warps, are added up at the end. For one row of weights and one of activations this order is
// always the same, whatever else is computed beside it.
//
// The first weights are loaded before the kernels before this one have ended: nobody writes them.
#pragma once

#include "norm.cuh"
#include "products.cuh"

constexpr unsigned MATVEC_WARPS = 4;

// Rows of weights of a team, for so many rows of activations.
template <unsigned N> constexpr unsigned TILE_ROWS = N <= 2 ? 2 : 4;
// Blocks that a multiprocessor must have room for: so many that those of a small matrix start at once, and
// that there are always some which load.
template <unsigned N> constexpr unsigned MATVEC_BLOCKS = N <= 2 ? 6 : N == 4 ? 3 : 2;

// Multiplies the sums by the factors of rows that are to be normalized, of which each lane has seen some
// squares. `shared` is as long as for `finish`, and has a number for each warp and row behind that.
template <unsigned ROWS, unsigned N>
__device__ __forceinline__ void normalize(float (&sums)[ROWS][N], float (&squares)[N], unsigned width,
                                          float eps, unsigned warps_of_team, float *shared) {
    unsigned warp = threadIdx.x / WARP;
    float *of_warps = shared + MATVEC_WARPS * WARP;
#pragma unroll
    for (unsigned j = 0; j < N; j++) {
        squares[j] = warp_sum(squares[j]);
        if (threadIdx.x % WARP == 0) {
            of_warps[warp * N + j] = squares[j];
        }
    }
    if (warps_of_team > 1) {
        __syncthreads();
    }
#pragma unroll
    for (unsigned j = 0; j < N; j++) {
        if (warps_of_team > 1) {
            squares[j] = 0.0f;
            for (unsigned i = 0; i < warps_of_team; i++) {
                squares[j] += of_warps[(warp / warps_of_team * warps_of_team + i) * N + j];
            }
        }
        float factor = norm_factor(squares[j], width, eps);
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            sums[i][j] *= factor;
        }
    }
}

// The number of a team's tile. The compiler cannot know that it is the same each time, and so does not
// keep in registers what is made of it.
__device__ __forceinline__ unsigned index_of_tile(unsigned warps_of_team) {
    unsigned index = blockIdx.x * (MATVEC_WARPS / warps_of_team) + threadIdx.x / (WARP * warps_of_team);
    asm volatile("" : "+r"(index));
    return index;
}

// Adds up what the lanes of a team have, and writes it. `sums[i][j]` belongs to row i of the tile and
// column j.
template <unsigned ROWS, unsigned N>
__device__ __forceinline__ void finish(const Products &products, unsigned n, unsigned warps_of_team,
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
    Tile tile(products, index_of_tile(warps_of_team), ROWS);
    Columns columns(products.choice, blockIdx.y, N, n);
    // Where products are gated, rows of the gate and of what it gates take turns.
    float up = __shfl_down_sync(ALL_LANES, mine, N);
    unsigned i = lane / N, j = lane % N;
    if (i < ROWS && j < columns.n && !tile.is_up(i, 1)) {
        tile.write(tile.row(i, 1), columns.output(j), mine, up);
    }
}

// What a team works on.
template <unsigned ROWS> struct Team {
    // Chunks that it takes at a time, and the first of the calling lane.
    unsigned stride, first;
    // Rows of the matrix, or of one expert's; none where the team has nothing to do.
    unsigned n_rows;
    // Of each row: where its matrix is, and which row it is there, among those of all experts. Rows behind
    // the last are the last.
    const uint8_t *weights[ROWS];
    unsigned rows[ROWS];

    __device__ __forceinline__ Team(const Products &products, const Columns &columns,
                                    unsigned warps_of_team) {
        Tile tile(products, index_of_tile(warps_of_team), ROWS);
        stride = WARP * warps_of_team;
        first = threadIdx.x % stride;
        n_rows = tile.first_row < tile.part.n_rows ? tile.part.n_rows : 0;
#pragma unroll
        for (unsigned i = 0; i < ROWS; i++) {
            weights[i] = tile.weights(i, 1);
            rows[i] = columns.row_of_all(min(tile.row(i, 1), max(n_rows, 1u) - 1), n_rows);
        }
    }
};

// Few rows of activations, rounded to eight bits, with weights in blocks: sums of whole numbers.
#pragma once

#include "int8_rows.cuh"
#include "matvec.cuh"
#include "weights.cuh"

// Adds the products of one unit of activations with that of each row of weights.
template <class Format, unsigned ROWS>
__device__ __forceinline__ void add_products(const Raw<Format> (&raw)[ROWS], const unsigned (&codes)[ROWS][8],
                                             const RoundedUnit &x, float (&sums)[ROWS]) {
#pragma unroll
    for (unsigned i = 0; i < ROWS; i++) {
        int dots[2] = {0, 0};
#pragma unroll
        for (unsigned k = 0; k < 8; k++) {
            dots[k / 4] = __dp4a(static_cast<int>(codes[i][k]), x.codes[k], dots[k / 4]);
        }
        sums[i] += x.scale * product_of<Format>(raw[i].meta, dots, x.sums);
    }
}

// `N` is the most rows of activations that a block has, `n` how many there are.
template <class Format, unsigned N>
__device__ __forceinline__ void matvec_blocks(const Products &products, const Int8Rows &x, unsigned n,
                                              unsigned width, unsigned warps_of_team, float *shared) {
    constexpr unsigned ROWS = TILE_ROWS<N>;
    // Units that are loaded before the first is used.
    constexpr unsigned AHEAD = N == 1 ? 2 : 1;
    if (products.choice.tiles) {
        // Which weights are read is known only then.
        await_earlier_launches();
    }
    Columns columns(products.choice, blockIdx.y, N, n);
    if (columns.n == 0) {
        return;
    }
    Team<ROWS> team(products, columns, warps_of_team);
    unsigned units_of_row = width / UNIT, n_units = team.n_rows > 0 ? units_of_row : 0;
    Planes<Format> planes(columns.all_rows(team.n_rows) * units_of_row);
    // As in `matvec_floats.cu`, so that registers are free in between.
    Raw<Format> raw[AHEAD][ROWS] = {};
    auto load = [&](unsigned unit) {
#pragma unroll
        for (unsigned a = 0; a < AHEAD; a++) {
            unsigned at = unit + a * team.stride;
#pragma unroll
            for (unsigned i = 0; at < n_units && i < ROWS; i++) {
                unsigned index = team.rows[i] * n_units + at;
                raw[a][i] = planes.template load<Cached::NO>(team.weights[i], index);
            }
        }
    };
    load(team.first);
    await_earlier_launches();
    // Columns behind the last are the last.
    unsigned inputs[N];
#pragma unroll
    for (unsigned j = 0; j < N; j++) {
        inputs[j] = columns.input(min(j, columns.n - 1));
    }
    // By activations, so that a group of sums is indexed as one.
    float sums[N][ROWS] = {};
    for (unsigned unit = team.first; unit < n_units;) {
#pragma unroll
        for (unsigned a = 0; a < AHEAD; a++) {
            unsigned at = unit + a * team.stride;
            if (at >= n_units) {
                break;
            }
            unsigned codes[ROWS][8];
#pragma unroll
            for (unsigned i = 0; i < ROWS; i++) {
#pragma unroll
                for (unsigned k = 0; k < 8; k++) {
                    codes[i][k] = Format::Codes::word(raw[a][i].codes, k);
                }
            }
#pragma unroll
            for (unsigned j = 0; j < N; j++) {
                unsigned index = inputs[j] * n_units + at;
                RoundedUnit once(x.codes, x.meta, index);
                add_products<Format, ROWS>(raw[a], codes, once, sums[j]);
                if (once.is_twice) {
                    RoundedUnit again(x.again_codes, x.again_meta, index);
                    add_products<Format, ROWS>(raw[a], codes, again, sums[j]);
                }
            }
        }
        load(unit += team.stride * AHEAD);
    }
    float by_row[ROWS][N];
#pragma unroll
    for (unsigned i = 0; i < ROWS; i++) {
#pragma unroll
        for (unsigned j = 0; j < N; j++) {
            by_row[i][j] = sums[j][i];
        }
    }
    finish<ROWS, N>(products, n, warps_of_team, by_row, shared);
}

#define DEFINE_MATVEC_OF(format, most)                                                             \
    extern "C" __global__ void __launch_bounds__(MATVEC_WARPS *WARP, MATVEC_BLOCKS<most>)          \
        matvec_##format##_##most(PRODUCTS_PARAMETERS, const signed char *codes, const uint2 *meta, \
                                 const signed char *again_codes, const uint2 *again_meta,          \
                                 unsigned n, unsigned width, unsigned warps_of_team) {             \
        DYNAMIC_SHARED(float, shared);                                                             \
        Int8Rows x{codes, meta, again_codes, again_meta};                                          \
        matvec_blocks<format, most>(PRODUCTS, x, n, width, warps_of_team, shared);                 \
    }                                                                                              \
    EXPORT(matvec_##format##_##most)

#define DEFINE_MATVEC(format)                                                                      \
    DEFINE_MATVEC_OF(format, 1)                                                                    \
    DEFINE_MATVEC_OF(format, 2) DEFINE_MATVEC_OF(format, 4) DEFINE_MATVEC_OF(format, 8)

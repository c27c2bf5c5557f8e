// Products with many rows of activations, on tensor cores: activations rounded to bfloat16, half precision
// or eight bits, weights brought to the same type tile by tile, sums in float32. Where a scale belongs to a
// group of weights, sums of the group alone are scaled, and then added up.
//
// A block has a tile of rows of weights and one of activations (columns), and goes through the width
// in steps of 64 bytes: a unit of numbers of 16 bits, and two units of numbers of eight, which together are
// called a unit here. Activations, and weights that are of the type already, are copied to shared memory
// while earlier units are multiplied; other weights wait in registers, and are widened into shared memory
// one unit ahead. Where there are few tiles, several blocks share one: each takes a part of the width, and
// the last to be done adds the parts up, in order.
#pragma once

#include "cores.cuh"
#include "grouped.cuh"
#include "powers.cuh"
#include "products.cuh"
#include "widened.cuh"

// Units of activations that are in shared memory, or under way.
constexpr unsigned STAGES = 3;
// Distance of two columns where sums are staged: lanes do not meet in a bank.
constexpr unsigned STAGING_STEP = 20;

// A row of a tile has 64 bytes in four chunks of 16. They are permuted, so that the same chunk of eight
// rows lies in different banks.
__device__ __forceinline__ uint16_t *chunk_of(uint16_t *tile, unsigned row, unsigned chunk) {
    return tile + row * UNIT + (chunk ^ (row / 2 % 4)) * 8;
}

// What the blocks that share a tile use in common.
struct Shares {
    // The sums of each block, and how many blocks of each tile are done.
    float *sums;
    unsigned *done;
};

// `[n, width]`, in units. Of half precision a row stands for the values times its scale, of eight bits
// each group does, of which there are as many as a row of weights in eight bits has; where units have powers
// of two, the four of a group are a word in place of its scale.
struct Activations {
    const uint16_t *values;
    const float *scales;
};

// `ROWS` by `COLUMNS` values of the output, by warps that have `WARP_ROWS` by `WARP_COLUMNS` of them.
template <class Encoding_, class Number_, unsigned ROWS_, unsigned COLUMNS_, unsigned WARP_ROWS,
          unsigned WARP_COLUMNS>
struct Matmul {
    using Encoding = Encoding_;
    using Number = Number_;
    using Weights = Widened<Encoding, Number>;
    using Half = typename Reader<Encoding>::Half;
    static constexpr unsigned ROWS = ROWS_, COLUMNS = COLUMNS_;
    // Two threads have a row of weights.
    static constexpr unsigned THREADS = 2 * ROWS;
    static_assert(ROWS / WARP_ROWS * (COLUMNS / WARP_COLUMNS) * WARP == THREADS, "the warps cover the tile");
    // Fragments of a warp: 16 rows and 8 columns each.
    static constexpr unsigned HIGH = WARP_ROWS / 16, WIDE = WARP_COLUMNS / 8;
    static constexpr unsigned WEIGHT_STAGES = Weights::IS_COPIED ? STAGES : 2;
    // Units of weights that wait in registers.
    static constexpr unsigned AHEAD = ROWS * COLUMNS > 64 * 64 ? 1 : 2;
    static constexpr unsigned WEIGHT_TILE = ROWS * UNIT, COLUMN_TILE = COLUMNS * UNIT;
    // Chunks of 16 bytes of a unit of activations that a thread copies.
    static constexpr unsigned CHUNKS = COLUMNS * 4 / THREADS;
    static_assert(CHUNKS * THREADS == COLUMNS * 4, "all threads copy equally much");
    // Values of a unit, and units of the values that share a scale.
    static constexpr unsigned UNIT_VALUES = 64 / Number::BYTES, UNITS_OF_GROUP = GROUP / UNIT_VALUES;
    // Whether a thread brings 32 values of four bits, which become bytes, and their power of two.
    static constexpr bool HAS_POWERS = Number::BYTES == 1 && !Weights::IS_COPIED;
    // Values that places of weights are counted in.
    static constexpr unsigned WEIGHT_UNIT = Weights::IS_COPIED ? UNIT_VALUES : UNIT;

    Activations x;
    unsigned n_units;
    Columns columns;
    Tile tile;
    Reader<Encoding> reader;
    // The row of weights that the calling thread brings, and which half of its units.
    unsigned own, half;
    const uint8_t *own_weights;
    size_t own_unit;
    // Of a row of weights.
    unsigned row_units;
    bool is_there;
    // Where the rows of activations begin of which it copies chunks.
    size_t column_units[CHUNKS];
    // [STAGES][COLUMNS][32], [WEIGHT_STAGES][TERMS][ROWS][32]
    uint16_t *activations, *weights;
    using Sums = float[HIGH][WIDE][4];
    Sums sums;
    GroupSums<IS_GROUPED<Encoding>, HIGH, WIDE> group;
    ColumnScales<IS_GROUPED<Number>, WIDE> column_scales;
    Powers<HAS_POWERS, ROWS, WIDE> powers;

    __device__ __forceinline__ Matmul(const Products &products, const Activations &x, unsigned n,
                                      unsigned width, uint16_t *shared)
        : x(x), n_units((width + UNIT_VALUES - 1) / UNIT_VALUES),
          columns(products.choice, blockIdx.x, COLUMNS, n), tile(products, blockIdx.y, ROWS),
          reader(columns.all_rows(tile.part.n_rows) * units_of_row<Encoding>(width)), sums{},
          powers(shared + STAGES * COLUMN_TILE + WEIGHT_STAGES * WEIGHT_TILE) {
        own = threadIdx.x / 2, half = threadIdx.x % 2;
        // Where products are gated, a fragment has eight rows of the gate, then the same of the other.
        unsigned row = tile.row(own, 8);
        is_there = row < tile.part.n_rows;
        own_weights = tile.weights(own, 8);
        row_units = units_of_row<Encoding>(width) * UNIT / WEIGHT_UNIT;
        own_unit = static_cast<size_t>(columns.row_of_all(is_there ? row : 0, tile.part.n_rows)) * row_units;
        size_t x_units = units_of_row<Number>(width) * UNIT / UNIT_VALUES;
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            unsigned column = (threadIdx.x + i * THREADS) / 4;
            column_units[i] = (column < columns.n ? columns.input(column) : 0) * x_units;
        }
        activations = shared, weights = shared + STAGES * COLUMN_TILE;
    }

    // Begins to copy a unit of activations, and of weights where they are only copied.
    __device__ __forceinline__ void copy(unsigned unit, unsigned stage) {
#pragma unroll
        for (unsigned i = 0; i < CHUNKS; i++) {
            unsigned column = (threadIdx.x + i * THREADS) / 4, chunk = threadIdx.x % 4;
            const uint16_t *from = x.values + (column_units[i] + unit) * UNIT + chunk * 8;
            uint16_t *to = activations + stage * COLUMN_TILE;
            copy_async_16(chunk_of(to, column, chunk), from, column < columns.n);
        }
        if constexpr (Weights::IS_COPIED) {
            const uint8_t *from = own_weights + ((own_unit + unit) * 2 + half) * 32;
            uint16_t *to = weights + stage * WEIGHT_TILE;
            copy_async_16(chunk_of(to, own, 2 * half), from, is_there);
            copy_async_16(chunk_of(to, own, 2 * half + 1), from + 16, is_there);
        }
    }

    __device__ __forceinline__ Half load(unsigned unit) const {
        // Rows that do not exist are computed like the first, and never written.
        if constexpr (HAS_POWERS) {
            unsigned own = 2 * unit + half;
            Half raw = reader.load(own_weights, own_unit + min(own, row_units - 1), 0);
            // Behind a row are zeros, whatever their power.
            for (unsigned i = 0; i < 4; i++) {
                raw.codes[i] = own < row_units ? raw.codes[i] : 0;
            }
            return raw;
        } else {
            return reader.load(own_weights, own_unit + unit, half);
        }
    }

    __device__ __forceinline__ void widen(const Half &raw, unsigned stage) {
        if constexpr (HAS_POWERS) {
            uint16_t *to = weights + stage * WEIGHT_TILE;
            store_e2m1(raw.codes, [&](unsigned i) { return chunk_of(to, own, 2 * half + i); });
            powers.of_weights(stage, own, half) = static_cast<uint8_t>(raw.meta.unit);
            return;
        } else {
            round(raw, stage);
        }
    }

    __device__ __forceinline__ void round(const Half &raw, unsigned stage) {
        float values[16];
        unscaled_values<Encoding>(raw, half, values);
        uint16_t *to = weights + stage * Weights::TERMS * WEIGHT_TILE;
        store_rounded<Number, Weights::TERMS>(values, [&](unsigned term, unsigned i) {
            return chunk_of(to + term * WEIGHT_TILE, own, 2 * half + i);
        });
    }

    // Where sums go: to those of the group, until it is complete.
    __device__ __forceinline__ Sums &open_sums() {
        if constexpr (IS_GROUPED<Encoding>) {
            return group.sums;
        } else {
            return sums;
        }
    }

    // Multiplies what is in shared memory: 32 bytes of a unit at a time, which are sixteen values, or 32.
    __device__ __forceinline__ void multiply(unsigned stage, unsigned weight_stage, unsigned unit) {
        constexpr unsigned ACROSS = COLUMNS / WARP_COLUMNS;
        unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
        unsigned first_row = warp / ACROSS * WARP_ROWS, first_column = warp % ACROSS * WARP_COLUMNS;
        Sums &to = open_sums();
#pragma unroll
        for (unsigned k = 0; k < 4; k += 2) {
            unsigned right[WIDE][2];
#pragma unroll
            for (unsigned j = 0; j < WIDE; j += 2) {
                // Two fragments: columns 0 to 7 with both halves of k, then columns 8 to 15.
                unsigned tiles[4];
                unsigned row = first_column + 8 * j + lane / 16 * 8 + lane % 8;
                load_tiles(tiles, chunk_of(activations + stage * COLUMN_TILE, row, k + lane / 8 % 2));
                right[j][0] = tiles[0], right[j][1] = tiles[1];
                right[j + 1][0] = tiles[2], right[j + 1][1] = tiles[3];
            }
#pragma unroll
            for (unsigned term = 0; term < Weights::TERMS; term++) {
                uint16_t *from = weights + (weight_stage * Weights::TERMS + term) * WEIGHT_TILE;
#pragma unroll
                for (unsigned i = 0; i < HIGH; i++) {
                    unsigned left[4];
                    load_tiles(left, chunk_of(from, first_row + 16 * i + lane % 16, k + lane / 16));
#pragma unroll
                    for (unsigned j = 0; j < WIDE; j++) {
                        if constexpr (HAS_POWERS) {
                            unsigned row = first_row + 16 * i + lane / 4 + 8 * (lane % 2);
                            unsigned power = powers.of_weights(weight_stage, row, k / 2);
                            Cores<Number>::multiply(to[i][j], left, right[j], power,
                                                    powers.of_column(j, 2 * unit + k / 2));
                        } else {
                            Cores<Number>::multiply(to[i][j], left, right[j]);
                        }
                    }
                }
            }
        }
    }

    // Begins a group of values where a unit is its first, or the block's.
    __device__ __forceinline__ void open_group(unsigned unit, bool is_first) {
        if constexpr (IS_GROUPED<Encoding> || HAS_POWERS) {
            if (is_first || unit % UNITS_OF_GROUP == 0) {
                constexpr unsigned ACROSS = COLUMNS / WARP_COLUMNS;
                unsigned warp = threadIdx.x / WARP, first_column = warp % ACROSS * WARP_COLUMNS;
                unsigned n_groups = (n_units + UNITS_OF_GROUP - 1) / UNITS_OF_GROUP;
                unsigned number = unit / UNITS_OF_GROUP;
                if constexpr (HAS_POWERS) {
                    powers.open(x.scales, columns, n_groups, number, first_column, is_first);
                } else {
                    group.open(reader, tile, columns, n_groups, number, warp / ACROSS * WARP_ROWS);
                    column_scales.load(x.scales, columns, n_groups, number, first_column);
                }
            }
        }
    }

    // Ends it behind its last unit, or the block's.
    __device__ __forceinline__ void close_group(unsigned unit, bool is_last) {
        if constexpr (IS_GROUPED<Encoding>) {
            if (is_last || (unit + 1) % UNITS_OF_GROUP == 0) {
                group.close(column_scales, sums);
            }
        }
    }

    // Goes through units `first` to `last`.
    __device__ __forceinline__ void run(unsigned first, unsigned last) {
        [[maybe_unused]] Half waiting[AHEAD];
        for (unsigned i = 0; i + 1 < STAGES; i++) {
            if (first + i < last) {
                copy(first + i, i);
            }
            commit_copies();
        }
        if constexpr (!Weights::IS_COPIED) {
            widen(load(first), 0);
#pragma unroll
            for (unsigned i = 0; i < AHEAD; i++) {
                waiting[i] = load(min(first + 1 + i, last - 1));
            }
        }
        unsigned stage = 0;
        for (unsigned begin = first; begin < last; begin += AHEAD) {
#pragma unroll
            for (unsigned i = 0; i < AHEAD; i++) {
                unsigned unit = begin + i;
                if (unit >= last) {
                    break;
                }
                // The unit is there for all threads, and all have multiplied the one before it.
                wait_copies<STAGES - 2>();
                __syncthreads();
                if (unit + STAGES - 1 < last) {
                    copy(unit + STAGES - 1, (stage + STAGES - 1) % STAGES);
                }
                commit_copies();
                open_group(unit, unit == first);
                multiply(stage, Weights::IS_COPIED ? stage : (unit - first) % 2, unit);
                close_group(unit, unit + 1 == last);
                if constexpr (!Weights::IS_COPIED) {
                    if (unit + 1 < last) {
                        widen(waiting[i], (unit + 1 - first) % 2);
                        waiting[i] = load(min(unit + 1 + AHEAD, last - 1));
                    }
                }
                stage = (stage + 1) % STAGES;
            }
        }
    }

    // Adds up the parts of all blocks of the tile. Whether the calling block is the one that writes.
    __device__ __forceinline__ bool gather(const Shares &shares, unsigned *is_last) {
        size_t place = static_cast<size_t>(blockIdx.y) * gridDim.x + blockIdx.x;
        float *all = shares.sums + place * gridDim.z * (ROWS * COLUMNS);
        float *mine = all + blockIdx.z * (ROWS * COLUMNS) + threadIdx.x;
        float *flat = &sums[0][0][0];
        constexpr unsigned N = HIGH * WIDE * 4;
#pragma unroll
        for (unsigned i = 0; i < N; i++) {
            mine[i * THREADS] = flat[i];
        }
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) {
            *is_last = atomicAdd(shares.done + place, 1u) == gridDim.z - 1 ? 1 : 0;
        }
        __syncthreads();
        bool writes = *is_last;
        __syncthreads();
        if (!writes) {
            return false;
        }
        if (threadIdx.x == 0) {
            shares.done[place] = 0;
        }
        __threadfence();
        const volatile float *parts = all + threadIdx.x;
#pragma unroll
        for (unsigned i = 0; i < N; i++) {
            float sum = 0.0f;
            for (unsigned z = 0; z < gridDim.z; z++) {
                sum += parts[z * (ROWS * COLUMNS) + i * THREADS];
            }
            flat[i] = sum;
        }
        return true;
    }

    // Writes the sums, sixteen rows of a warp at a time: through shared memory, so that neighbours
    // write neighbouring values.
    __device__ __forceinline__ void write(float *shared) const {
        constexpr unsigned ACROSS = COLUMNS / WARP_COLUMNS;
        unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
        unsigned first_row = warp / ACROSS * WARP_ROWS;
        unsigned first_column = warp % ACROSS * WARP_COLUMNS;
        // [WARP_COLUMNS][16]
        float *staging = shared + warp * (WARP_COLUMNS * STAGING_STEP);
#pragma unroll
        for (unsigned i = 0; i < HIGH; i++) {
            __syncwarp();
#pragma unroll
            for (unsigned j = 0; j < WIDE; j++) {
#pragma unroll
                for (unsigned e = 0; e < 4; e++) {
                    unsigned column = 8 * j + lane % 4 * 2 + e % 2, row = lane / 4 + e / 2 * 8;
                    staging[column * STAGING_STEP + row] = sums[i][j][e];
                }
            }
            __syncwarp();
#pragma unroll 1
            for (unsigned at = lane; at < 16 * WARP_COLUMNS; at += WARP) {
                unsigned row = at % 16, column = at / 16;
                const float *sum = staging + column * STAGING_STEP + row;
                unsigned tile_row = first_row + 16 * i + row;
                if (first_column + column < columns.n && !tile.is_up(tile_row, 8)) {
                    float up = tile.activation ? sum[8] : 0.0f;
                    unsigned output = columns.output(first_column + column);
                    unsigned input = columns.input(first_column + column);
                    float scale = Cores<Number>::IS_SCALED ? x.scales[input] : 1.0f;
                    tile.write(tile.row(tile_row, 8), output, sum[0] * scale, up * scale);
                }
            }
        }
    }
};

// Products of activations as they are with weights of any encoding, in float32, for any shape: what
// everything faster is compared with.

#include "products.cuh"
#include "weights.cuh"

// A block has a tile of rows of weights and as many rows of activations as `EXACT_COLUMNS`, a thread
// four of each.
constexpr unsigned EXACT_ROWS = 64, EXACT_COLUMNS = 32, EXACT_THREADS = 128;
// Distance of two values of a row in shared memory; odd, so that lanes do not meet in a bank.
constexpr unsigned EXACT_ROW_STEP = EXACT_ROWS + 1, EXACT_COLUMN_STEP = EXACT_COLUMNS + 1;

// Brings a unit of the block's activations to shared memory, `[value][column]`, zeros behind the end.
__device__ __forceinline__ void load_activations(const float *x, const Columns &columns, unsigned width,
                                                 unsigned unit, float *shared) {
    for (unsigned i = threadIdx.x; i < EXACT_COLUMNS * UNIT; i += EXACT_THREADS) {
        unsigned column = i / UNIT, k = i % UNIT;
        unsigned at = unit * UNIT + k;
        bool is_there = column < columns.n && at < width;
        size_t row = is_there ? columns.input(column) : 0;
        shared[k * EXACT_COLUMN_STEP + column] = is_there ? x[row * width + at] : 0.0f;
    }
}

// Adds the products of a unit. Its own sum is taken first, so that errors of rounding stay small.
__device__ __forceinline__ void add_unit(const float *weights, const float *x, float (&sums)[4][4]) {
    unsigned first_row = threadIdx.x / 8 * 4, first_column = threadIdx.x % 8 * 4;
    float unit_sums[4][4] = {};
#pragma unroll 4
    for (unsigned k = 0; k < UNIT; k++) {
        float rows[4], columns[4];
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
            rows[i] = weights[k * EXACT_ROW_STEP + first_row + i];
            columns[i] = x[k * EXACT_COLUMN_STEP + first_column + i];
        }
#pragma unroll
        for (unsigned i = 0; i < 4; i++) {
#pragma unroll
            for (unsigned j = 0; j < 4; j++) {
                unit_sums[i][j] += rows[i] * columns[j];
            }
        }
    }
#pragma unroll
    for (unsigned i = 0; i < 4; i++) {
#pragma unroll
        for (unsigned j = 0; j < 4; j++) {
            sums[i][j] += unit_sums[i][j];
        }
    }
}

template <class Encoding>
__device__ __forceinline__ void exact(const Products &products, const float *x, unsigned n, unsigned width,
                                      float *shared) {
    Columns columns(products.choice, blockIdx.y, EXACT_COLUMNS, n);
    if (columns.n == 0) {
        return;
    }
    float *weights = shared, *activations = shared + UNIT * EXACT_ROW_STEP;
    Tile tile(products, blockIdx.x, EXACT_ROWS);
    unsigned n_units = (width + UNIT - 1) / UNIT, row_units = units_of_row<Encoding>(width);
    Reader<Encoding> reader(columns.all_rows(tile.part.n_rows) * row_units);
    // Two threads read a row of weights. Where products are gated, rows take turns one by one.
    unsigned own = threadIdx.x / 2, half = threadIdx.x % 2;
    const uint8_t *own_weights = tile.weights(own, 1);
    size_t own_row = columns.row_of_all(tile.row(own, 1), tile.part.n_rows), first_unit = own_row * row_units;
    bool is_there = tile.row(own, 1) < tile.part.n_rows;
    float sums[4][4] = {};
    for (unsigned unit = 0; unit < n_units; unit++) {
        float values[16] = {};
        if (is_there) {
            Reader<Encoding>::values(reader.load(own_weights, first_unit + unit, half), half, values);
        }
        __syncthreads();
#pragma unroll
        for (unsigned i = 0; i < 16; i++) {
            weights[(16 * half + i) * EXACT_ROW_STEP + own] = values[i];
        }
        load_activations(x, columns, width, unit, activations);
        __syncthreads();
        add_unit(weights, activations, sums);
    }
    // Through shared memory, `[column][row]`, so that neighbours write neighbouring values.
    __syncthreads();
#pragma unroll
    for (unsigned i = 0; i < 4; i++) {
#pragma unroll
        for (unsigned j = 0; j < 4; j++) {
            shared[(threadIdx.x % 8 * 4 + j) * EXACT_ROW_STEP + threadIdx.x / 8 * 4 + i] = sums[i][j];
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < EXACT_ROWS * EXACT_COLUMNS; i += EXACT_THREADS) {
        unsigned row = i % EXACT_ROWS, column = i / EXACT_ROWS;
        if (column < columns.n && !tile.is_up(row, 1)) {
            const float *sum = shared + column * EXACT_ROW_STEP + row;
            tile.write(tile.row(row, 1), columns.output(column), sum[0], tile.activation ? sum[1] : 0.0f);
        }
    }
}

#define DEFINE_EXACT(name)                                                                         \
    extern "C" __global__ void __launch_bounds__(EXACT_THREADS)                                    \
        exact_##name(PRODUCTS_PARAMETERS, const float *x, unsigned n, unsigned width) {            \
        await_earlier_launches();                                                                  \
        DYNAMIC_SHARED(float, shared);                                                             \
        exact<name>(PRODUCTS, x, n, width, shared);                                                \
    }                                                                                              \
    EXPORT(exact_##name)

FOR_EACH_LEGACY(DEFINE_EXACT)
FOR_EACH_K_QUANT(DEFINE_EXACT)
FOR_EACH_FLOAT(DEFINE_EXACT)

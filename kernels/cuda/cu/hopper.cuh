// Products with many rows of activations, by the warpgroups of compute capability 9.0: the same sums as
// those of `matmul.cuh`, activations rounded to bfloat16, weights as such or as the sum of two; or both in
// eight bits, with scales.
//
// A tile of the output has 128 rows of activations (columns) and 128 or 256 of weights. One block is on
// each multiprocessor, and takes tiles in turn. Its first warpgroups bring both operands to shared memory,
// 64 values of a row (a step) at a time, as many steps ahead as there are stages; each of the other two
// multiplies 64 columns with all rows of weights, so that a lane has neighbouring rows of weights, which
// are neighbours in the output. While those write a tile the first of the next one come.
//
// Activations, and weights that are of their type, are copied by tensor maps, which say where rows end and
// lay chunks out as products read them. Weights that were packed in that order when they were uploaded
// could be copied without maps, but the kernels for few rows read the same weights row by row. Other
// weights are widened into the same layout by the first warpgroups.
#pragma once

#include "products.cuh"
#include "warpgroup.cuh"
#include "widened.cuh"

// Tiles of activations that go together: their rows stay in the second-level cache.
constexpr unsigned TOGETHER = 16;

// Which stage is next, and the parity of its phase.
struct Turn {
    unsigned stage, parity;

    __device__ __forceinline__ void next(unsigned n_stages) {
        if (++stage == n_stages) {
            stage = 0, parity ^= 1;
        }
    }
};

// The maps of a launch. Where weights are not copied, all are that of the activations.
struct Maps {
    const TensorMap &x, &weights0, &weights1, &weights2;

    __device__ __forceinline__ const TensorMap &weights(unsigned i) const {
        return i == 0 ? weights0 : i == 1 ? weights1 : weights2;
    }
};

struct Sizes {
    // Rows of activations, values of a row, tiles of rows of weights, stages.
    unsigned n, width, row_tiles, n_stages;
    // Of each row of activations and step, where numbers are scaled.
    const float *x_scales;
};

template <class Encoding_, unsigned ROWS_, class Number_ = bf16> struct Hopper {
    using Encoding = Encoding_;
    using Number = Number_;
    using Weights = Widened<Encoding, Number>;
    using Half = typename Reader<Encoding>::Half;
    static constexpr unsigned ROWS = ROWS_, COLUMNS = 128;
    static constexpr unsigned CONSUMERS = COLUMNS / TILE_ROWS;
    // One thread starts copies; to widen weights takes more. With as many as four warpgroups a thread has
    // too few registers for products of 256 columns.
    static constexpr unsigned PRODUCERS = Weights::IS_COPIED || ROWS > 128 ? 1 : 2;
    static constexpr unsigned PRODUCER_THREADS = PRODUCERS * WARPGROUP;
    static constexpr unsigned THREADS = PRODUCER_THREADS + CONSUMERS * WARPGROUP;
    // Of each thread; together no more than a launch gives: 168 to each of 384, 128 to each of 512.
    static constexpr unsigned PRODUCER_REGISTERS = Weights::IS_COPIED ? 40 : PRODUCERS == 1 ? 104 : 80;
    static constexpr unsigned CONSUMER_REGISTERS = Weights::IS_COPIED ? 232 : PRODUCERS == 1 ? 200 : 176;
    // Values of a step, in 128 bytes of a row. In eight bits they are those that share a scale.
    static constexpr unsigned STEP_VALUES = STEP * 2 / Number::BYTES;
    static constexpr bool IS_SCALED = IS_GROUPED<Number>;
    // Of a stage: activations, then each term of the weights.
    static constexpr unsigned COLUMN_BYTES = COLUMNS / TILE_ROWS * TILE_BYTES;
    static constexpr unsigned WEIGHT_BYTES = ROWS / TILE_ROWS * TILE_BYTES;
    static constexpr unsigned STAGE_BYTES = COLUMN_BYTES + Weights::TERMS * WEIGHT_BYTES;
    // Gate and what it gates have a half of the rows each.
    static constexpr unsigned GROUP = ROWS / 2;
    // Units of weights that a thread widens in a step.
    static constexpr unsigned UNITS = ROWS * (STEP / UNIT) / PRODUCER_THREADS;

    const Products &products;
    Maps maps;
    Sizes sizes;
    unsigned n_steps, column_tiles;
    unsigned char *stages;
    // Of each stage: whether everything is there, and whether all of it was multiplied.
    uint64_t *full, *empty;

    __device__ __forceinline__ Hopper(const Products &products, const Maps &maps, const Sizes &sizes,
                                      unsigned char *shared)
        : products(products), maps(maps), sizes(sizes) {
        n_steps = (sizes.width + STEP_VALUES - 1) / STEP_VALUES;
        column_tiles = (sizes.n + COLUMNS - 1) / COLUMNS;
        stages = shared + (1024 - shared_address(shared) % 1024) % 1024;
        full = reinterpret_cast<uint64_t *>(stages + sizes.n_stages * STAGE_BYTES);
        empty = full + sizes.n_stages;
    }

    // What the calling thread's warpgroup is for.
    __device__ __forceinline__ void run() {
        if (threadIdx.x == 0) {
            for (unsigned i = 0; i < sizes.n_stages; i++) {
                // Whoever starts copies, and each warp that widens.
                init_barrier(full + i, Weights::IS_COPIED ? 1 : 1 + PRODUCER_THREADS / WARP);
                init_barrier(empty + i, CONSUMERS * WARPGROUP / WARP);
            }
            publish_barriers();
        }
        __syncthreads();
        if (threadIdx.x >= PRODUCER_THREADS) {
            take_registers<CONSUMER_REGISTERS>();
            if constexpr (IS_SCALED) {
                consume_scaled();
            } else {
                consume();
            }
        } else {
            give_registers<PRODUCER_REGISTERS>();
            if constexpr (!Weights::IS_COPIED) {
                widen_all();
            } else if (threadIdx.x == 0) {
                copy_all();
            }
        }
    }

    // Calls `work(column_tile, row_tile)` for each tile of the block.
    template <class Work> __device__ __forceinline__ void for_each_tile(Work work) const {
        for (unsigned i = blockIdx.x; i < column_tiles * sizes.row_tiles; i += gridDim.x) {
            unsigned first = i / (TOGETHER * sizes.row_tiles) * TOGETHER;
            unsigned across = min(TOGETHER, column_tiles - first), rest = i - first * sizes.row_tiles;
            work(first + rest % across, rest / across);
        }
    }

    // Begins to copy what can be copied to a stage that may be overwritten.
    __device__ __forceinline__ void copy(const Tile &tile, unsigned column_tile, unsigned step,
                                         Turn turn) const {
        uint64_t *barrier = full + turn.stage;
        unsigned char *to = stages + turn.stage * STAGE_BYTES;
        arrive_expecting(barrier, Weights::IS_COPIED ? STAGE_BYTES : COLUMN_BYTES);
#pragma unroll
        for (unsigned i = 0; i < COLUMNS; i += TILE_ROWS) {
            copy_tile_async(to + i * (STEP * 2), maps.x, step * STEP, column_tile * COLUMNS + i, barrier);
        }
        if constexpr (Weights::IS_COPIED) {
#pragma unroll
            for (unsigned i = 0; i < ROWS; i += TILE_ROWS) {
                const TensorMap &map = maps.weights(tile.is_up(i, GROUP) ? 1 : tile.number);
                unsigned char *own = to + COLUMN_BYTES + i * (STEP * 2);
                copy_tile_async(own, map, step * STEP, tile.row(i, GROUP), barrier);
            }
        }
    }

    __device__ __forceinline__ void copy_all() const {
        Turn turn{0, 0};
        for_each_tile([&](unsigned column_tile, unsigned row_tile) {
            Tile tile(products, row_tile, ROWS);
            for (unsigned step = 0; step < n_steps; step++, turn.next(sizes.n_stages)) {
                wait_for_phase(empty + turn.stage, turn.parity ^ 1);
                copy(tile, column_tile, step, turn);
            }
        });
    }

    // The weights that a thread widens: a unit of each step in several rows.
    struct Own {
        const Hopper &kernel;
        const Tile &tile;
        Reader<Encoding> reader;
        // Of the rows.
        size_t first_units[UNITS];
        // What waits.
        Half halves[UNITS][2];

        __device__ __forceinline__ Own(const Hopper &kernel, const Tile &tile)
            : kernel(kernel), tile(tile), reader(static_cast<size_t>(tile.part.n_rows) * kernel.row_units()) {
#pragma unroll
            for (unsigned i = 0; i < UNITS; i++) {
                unsigned row = tile.row(row_of(i), GROUP);
                // Rows that do not exist are computed like the first, and never written.
                first_units[i] = static_cast<size_t>(row < tile.part.n_rows ? row : 0) * kernel.row_units();
                load(i, 0);
            }
        }

        static __device__ __forceinline__ unsigned row_of(unsigned i) {
            return (threadIdx.x + i * PRODUCER_THREADS) / (STEP / UNIT);
        }

        __device__ __forceinline__ void load(unsigned i, unsigned step) {
            unsigned unit = min(step * (STEP / UNIT) + threadIdx.x % (STEP / UNIT), kernel.n_units() - 1);
#pragma unroll
            for (unsigned half = 0; half < 2; half++) {
                const uint8_t *weights = tile.weights(row_of(i), GROUP);
                halves[i][half] = reader.load(weights, first_units[i] + unit, half);
            }
        }

        // Widens what waits, and has the units of the next step wait.
        __device__ __forceinline__ void widen(unsigned step, unsigned char *to) {
            unsigned place = threadIdx.x % (STEP / UNIT);
            // The last step may have one unit.
            bool exists = step * (STEP / UNIT) + place < kernel.n_units();
#pragma unroll
            for (unsigned i = 0; i < UNITS; i++) {
#pragma unroll
                for (unsigned half = 0; half < 2; half++) {
                    float values[16];
                    Reader<Encoding>::values(halves[i][half], half, values);
#pragma unroll
                    for (unsigned k = 0; k < 16; k++) {
                        values[k] = exists ? values[k] : 0.0f;
                    }
                    store_rounded<bf16, Weights::TERMS>(values, [&](unsigned term, unsigned eight) {
                        unsigned char *own = to + term * WEIGHT_BYTES;
                        return swizzled_chunk(own, row_of(i), 4 * place + 2 * half + eight);
                    });
                }
                load(i, step + 1);
            }
        }
    };

    __device__ __forceinline__ unsigned n_units() const { return (sizes.width + UNIT - 1) / UNIT; }
    // Those of a row of weights may be more.
    __device__ __forceinline__ unsigned row_units() const { return units_of_row<Encoding>(sizes.width); }

    __device__ __forceinline__ void widen_all() const {
        Turn turn{0, 0};
        for_each_tile([&](unsigned column_tile, unsigned row_tile) {
            Tile tile(products, row_tile, ROWS);
            Own own(*this, tile);
            for (unsigned step = 0; step < n_steps; step++, turn.next(sizes.n_stages)) {
                wait_for_phase(empty + turn.stage, turn.parity ^ 1);
                if (threadIdx.x == 0) {
                    copy(tile, column_tile, step, turn);
                }
                own.widen(step, stages + turn.stage * STAGE_BYTES + COLUMN_BYTES);
                show_shared_writes();
                __syncwarp();
                if (threadIdx.x % WARP == 0) {
                    arrive(full + turn.stage);
                }
            }
        });
    }

    __device__ __forceinline__ void consume() const {
        unsigned group = threadIdx.x / WARPGROUP - PRODUCERS;
        Turn turn{0, 0};
        float sums[ROWS / 2];
        for_each_tile([&](unsigned column_tile, unsigned row_tile) {
            unsigned before = 0;
            for (unsigned step = 0; step < n_steps; step++, turn.next(sizes.n_stages)) {
                const unsigned char *from = stages + turn.stage * STAGE_BYTES;
                uint64_t left = tile_descriptor(from + group * TILE_BYTES);
                uint64_t right = tile_descriptor(from + COLUMN_BYTES);
                wait_for_phase(full + turn.stage, turn.parity);
                fence_products();
#pragma unroll
                for (unsigned k = 0; k < STEP / 16; k++) {
#pragma unroll
                    for (unsigned term = 0; term < Weights::TERMS; term++) {
                        // Sixteen values are two chunks of sixteen bytes, which descriptors count.
                        uint64_t own = right + term * (WEIGHT_BYTES / 16) + 2 * k;
                        multiply_tiles<ROWS>(sums, left + 2 * k, own, step > 0 || k > 0 || term > 0);
                    }
                }
                commit_products();
                // Those of the step before are done.
                wait_products<1>();
                if (step > 0) {
                    release(before);
                }
                before = turn.stage;
            }
            wait_products<0>();
            release(before);
            receive_sums(sums);
            write(sums, Tile(products, row_tile, ROWS), column_tile * COLUMNS + group * TILE_ROWS);
        });
    }

    // The same for numbers of eight bits: the sums of a step are scaled before they are added up, while the
    // other warpgroup multiplies. Scales are loaded while products are under way.
    __device__ __forceinline__ void consume_scaled() const {
        unsigned group = threadIdx.x / WARPGROUP - PRODUCERS;
        unsigned lane = threadIdx.x % WARP, warp = threadIdx.x % WARPGROUP / WARP;
        Turn turn{0, 0};
        float sums[ROWS / 2], of_step[ROWS / 2];
        for_each_tile([&](unsigned column_tile, unsigned row_tile) {
            Tile tile(products, row_tile, ROWS);
            unsigned column = column_tile * COLUMNS + group * TILE_ROWS + 16 * warp + lane / 4;
#pragma unroll
            for (unsigned i = 0; i < ROWS / 2; i++) {
                sums[i] = 0.0f;
            }
            for (unsigned step = 0; step < n_steps; step++, turn.next(sizes.n_stages)) {
                const unsigned char *from = stages + turn.stage * STAGE_BYTES;
                uint64_t left = tile_descriptor(from + group * TILE_BYTES);
                uint64_t right = tile_descriptor(from + COLUMN_BYTES);
                wait_for_phase(full + turn.stage, turn.parity);
                fence_products();
#pragma unroll
                for (unsigned k = 0; k < STEP / 16; k++) {
                    multiply_fp8_tiles(of_step, left + 2 * k, right + 2 * k, k > 0);
                }
                commit_products();
                float columns[2], rows[ROWS / 4];
                load_scales(tile, column, step, columns, rows);
                wait_products<0>();
                release(turn.stage);
                receive_sums(of_step);
#pragma unroll
                for (unsigned i = 0; i < ROWS / 2; i++) {
                    sums[i] += columns[i / 2 % 2] * (rows[i / 4 * 2 + i % 2] * of_step[i]);
                }
            }
            write(sums, tile, column_tile * COLUMNS + group * TILE_ROWS);
        });
    }

    // Scales of a step: of the column and the one eight behind it, and of each pair of rows of weights that
    // the lane has.
    __device__ __forceinline__ void load_scales(const Tile &tile, unsigned column, unsigned step,
                                                float (&columns)[2], float (&rows)[ROWS / 4]) const {
        Reader<Encoding> reader(static_cast<size_t>(tile.part.n_rows) * row_units());
        // Those that do not exist are never written.
#pragma unroll
        for (unsigned i = 0; i < 2; i++) {
            size_t own = min(column + 8 * i, sizes.n - 1);
            columns[i] = sizes.x_scales[own * n_steps + step];
        }
#pragma unroll
        for (unsigned i = 0; i < ROWS / 4; i++) {
            unsigned place = i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
            unsigned own = min(tile.row(place, GROUP), tile.part.n_rows - 1);
            rows[i] = reader.scale(tile.weights(place, GROUP), own * n_steps + step);
        }
    }

    __device__ __forceinline__ void release(unsigned stage) const {
        if (threadIdx.x % WARP == 0) {
            arrive(empty + stage);
        }
    }

    // Writes the sums, of which nothing is left. A few fragments at a time: all of them at once would be
    // more instructions than there is a cache for.
    __device__ __forceinline__ void write(float (&sums)[ROWS / 2], const Tile &tile,
                                          unsigned first_column) const {
        // Values of half a tile, and those that are written at a time.
        constexpr unsigned HALF = ROWS / 4, AT_A_TIME = 16;
        unsigned lane = threadIdx.x % WARP, warp = threadIdx.x % WARPGROUP / WARP;
        unsigned column = first_column + 16 * warp + lane / 4;
        unsigned row = tile.first_row + lane % 4 * 2;
#pragma unroll 1
        for (unsigned done = 0; done < HALF; done += AT_A_TIME, row += 2 * AT_A_TIME) {
#pragma unroll
            for (unsigned i = 0; i < AT_A_TIME; i += 2) {
                unsigned own_column = column + i / 2 % 2 * 8, own_row = row + i / 4 * 8;
                float2 lower = make_float2(sums[i], sums[i + 1]);
                float2 upper = make_float2(sums[HALF + i], sums[HALF + i + 1]);
                if (own_column >= sizes.n) {
                    continue;
                }
                tile.write_pair(own_row, own_column, lower, upper);
                if (!tile.activation) {
                    tile.write_pair(own_row + GROUP, own_column, upper, upper);
                }
            }
#pragma unroll
            for (unsigned i = 0; i + AT_A_TIME < HALF; i++) {
                sums[i] = sums[i + AT_A_TIME];
                sums[HALF + i] = sums[HALF + i + AT_A_TIME];
            }
        }
    }
};

#ifdef HAS_WARPGROUPS
template <class Kernel>
__device__ __forceinline__ void hopper(const Products &products, const Maps &maps, const Sizes &sizes,
                                       unsigned char *shared) {
    Kernel(products, maps, sizes, shared).run();
}
#else
// Nobody launches it elsewhere.
template <class Kernel>
__device__ __forceinline__ void hopper(const Products &, const Maps &, const Sizes &, unsigned char *) {
    __trap();
}
#endif

#define DEFINE_HOPPER_OF(name, rows, maps, ...)                                                    \
    extern "C" __global__ void __launch_bounds__(Hopper<name, rows>::THREADS, 1)                   \
        hopper_##name##_##rows(PRODUCTS_PARAMETERS, __VA_ARGS__, unsigned n, unsigned width,       \
                               unsigned row_tiles, unsigned n_stages) {                            \
        DYNAMIC_SHARED(unsigned char, shared);                                                     \
        Sizes sizes{n, width, row_tiles, n_stages, nullptr};                                       \
        hopper<Hopper<name, rows>>(PRODUCTS, Maps maps, sizes, shared);                            \
    }                                                                                              \
    EXPORT(hopper_##name##_##rows)

// Weights that are copied have maps of their own.
#define MAP(name) const __grid_constant__ TensorMap name
#define BRACED(...) {__VA_ARGS__}
#define DEFINE_HOPPER_COPIED(name, rows)                                                           \
    DEFINE_HOPPER_OF(name, rows, BRACED(x, weights_map0, weights_map1, weights_map2), MAP(x),      \
                     MAP(weights_map0), MAP(weights_map1), MAP(weights_map2))
#define DEFINE_HOPPER(name, rows) DEFINE_HOPPER_OF(name, rows, BRACED(x, x, x, x), MAP(x))

// Two sizes of tiles, for many and very many rows of activations.
#define DEFINE_HOPPERS(name) DEFINE_HOPPER(name, 128) DEFINE_HOPPER(name, 256)

// Both of eight bits.
#define DEFINE_HOPPER_SCALED(name, rows)                                                           \
    extern "C" __global__ void __launch_bounds__(Hopper<name, rows, name>::THREADS, 1)             \
        hopper_##name##_##rows(PRODUCTS_PARAMETERS, MAP(x), MAP(weights_map0), MAP(weights_map1),  \
                               MAP(weights_map2), const float *x_scales, unsigned n,               \
                               unsigned width, unsigned row_tiles, unsigned n_stages) {            \
        DYNAMIC_SHARED(unsigned char, shared);                                                     \
        Maps maps{x, weights_map0, weights_map1, weights_map2};                                    \
        Sizes sizes{n, width, row_tiles, n_stages, x_scales};                                      \
        hopper<Hopper<name, rows, name>>(PRODUCTS, maps, sizes, shared);                           \
    }                                                                                              \
    EXPORT(hopper_##name##_##rows)

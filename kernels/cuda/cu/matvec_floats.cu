// Few rows of activations, as they are, with weights that are plain numbers or floats of eight bits. The
// width is a multiple of eight, or of sixteen.

#include "matvec.cuh"
#include "weights.cuh"

// Sixteen bytes of a row of weights, as they were loaded.
template <bool HAS_SCALE> struct Chunk {
    unsigned words[4];
};
template <> struct Chunk<true> {
    unsigned words[4];
    float scale;
};

// A scale for each chunk takes registers, for which a multiprocessor has room for fewer blocks.
template <class Float, unsigned N>
constexpr unsigned FLOAT_BLOCKS = IS_GROUPED<Float> && N <= 4 ? MATVEC_BLOCKS<N> - 1 : MATVEC_BLOCKS<N>;

// `N` is the most rows of activations that a block has, `n` how many there are. What a norm does to numbers
// one by one is done as they are read; its factor is taken from the same numbers, and applied to the sums.
template <class Float, unsigned N, bool NORMED>
__device__ __forceinline__ void matvec_floats(const Products &products, const float *x, unsigned n,
                                              unsigned width, unsigned warps_of_team, const Norm &norm,
                                              float *shared) {
    constexpr unsigned ROWS = TILE_ROWS<N>;
    // Values of 16 bytes, which a lane loads at once; and loads of a row before the first is used.
    constexpr unsigned CHUNK = 16 / Float::BYTES, AHEAD = N == 1 ? 4 : 2;
    // Values of a chunk that are widened at a time: more would take more registers than there are.
    constexpr unsigned PART = CHUNK < 8 ? CHUNK : 8;
    if (products.choice.tiles) {
        // Which weights are read is known only then.
        await_earlier_launches();
    }
    Columns columns(products.choice, blockIdx.y, N, n);
    if (columns.n == 0) {
        return;
    }
    Team<ROWS> team(products, columns, warps_of_team);
    unsigned n_chunks = team.n_rows > 0 ? width / CHUNK : 0;
    size_t row_bytes = static_cast<size_t>(units_of_row<Float>(width)) * (UNIT * Float::BYTES);
    [[maybe_unused]] Reader<Float> reader(columns.all_rows(team.n_rows) * units_of_row<Float>(width));
    [[maybe_unused]] unsigned n_groups = (width + GROUP - 1) / GROUP;
    // What had no value here would keep its registers from one operation of a persistent kernel to the next.
    Chunk<IS_GROUPED<Float>> raw[AHEAD][ROWS] = {};
    auto load = [&](unsigned chunk) {
#pragma unroll
        for (unsigned a = 0; a < AHEAD; a++) {
            unsigned at = chunk + a * team.stride;
#pragma unroll
            for (unsigned i = 0; at < n_chunks && i < ROWS; i++) {
                const uint8_t *from = team.weights[i] + team.rows[i] * row_bytes + at * 16;
                load_words<4, Cached::NO>(raw[a][i].words, from);
                if constexpr (IS_GROUPED<Float>) {
                    unsigned group = team.rows[i] * n_groups + at / (GROUP / CHUNK);
                    raw[a][i].scale = reader.scale(team.weights[i], group);
                }
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
    float sums[ROWS][N] = {}, squares[N] = {};
    auto multiply = [&](const Chunk<IS_GROUPED<Float>> (&chunks)[ROWS], unsigned at) {
#pragma unroll
        for (unsigned part = 0; part < CHUNK / PART; part++) {
            float values[ROWS][PART];
#pragma unroll
            for (unsigned i = 0; i < ROWS; i++) {
                unsigned words[PART * Float::BYTES / 4];
#pragma unroll
                for (unsigned k = 0; k < PART * Float::BYTES / 4; k++) {
                    words[k] = chunks[i].words[part * (PART * Float::BYTES / 4) + k];
                }
                floats_of<Float>(words, values[i]);
            }
#pragma unroll
            for (unsigned j = 0; j < N; j++) {
                const float *row = x + static_cast<size_t>(inputs[j]) * width;
                // Those of the part alone, where they are to be scaled.
                float own[ROWS];
#pragma unroll
                for (unsigned i = 0; i < ROWS; i++) {
                    own[i] = IS_GROUPED<Float> ? 0.0f : sums[i][j];
                }
#pragma unroll
                for (unsigned k = 0; k < PART / 4; k++) {
                    unsigned place = at * (CHUNK / 4) + part * (PART / 4) + k;
                    float4 four = reinterpret_cast<const float4 *>(row)[place];
                    if constexpr (NORMED) {
                        squares[j] += four.x * four.x + four.y * four.y + four.z * four.z + four.w * four.w;
                        four = norm.weighted(four, place);
                    }
#pragma unroll
                    for (unsigned i = 0; i < ROWS; i++) {
                        float sum = own[i];
                        sum += four.x * values[i][4 * k];
                        sum += four.y * values[i][4 * k + 1];
                        sum += four.z * values[i][4 * k + 2];
                        sum += four.w * values[i][4 * k + 3];
                        own[i] = sum;
                    }
                }
#pragma unroll
                for (unsigned i = 0; i < ROWS; i++) {
                    if constexpr (IS_GROUPED<Float>) {
                        sums[i][j] += chunks[i].scale * own[i];
                    } else {
                        sums[i][j] = own[i];
                    }
                }
            }
        }
    };
    for (unsigned chunk = team.first; chunk < n_chunks;) {
        // Without conditions, so that activations are loaded side by side.
        if (chunk + (AHEAD - 1) * team.stride < n_chunks) {
#pragma unroll
            for (unsigned a = 0; a < AHEAD; a++) {
                multiply(raw[a], chunk + a * team.stride);
            }
        } else {
#pragma unroll
            for (unsigned a = 0; a < AHEAD - 1; a++) {
                if (chunk + a * team.stride < n_chunks) {
                    multiply(raw[a], chunk + a * team.stride);
                }
            }
        }
        load(chunk += team.stride * AHEAD);
    }
    if constexpr (NORMED) {
        normalize<ROWS, N>(sums, squares, width, norm.eps, warps_of_team, shared);
    }
    finish<ROWS, N>(products, n, warps_of_team, sums, shared);
}

#define DEFINE_MATVEC_OF(format, most)                                                             \
    extern "C" __global__ void __launch_bounds__(MATVEC_WARPS *WARP, FLOAT_BLOCKS<format, most>)   \
        matvec_##format##_##most(PRODUCTS_PARAMETERS, const float *x, unsigned n, unsigned width,  \
                                 unsigned warps_of_team, const float *weight, float eps,           \
                                 float offset) {                                                   \
        DYNAMIC_SHARED(float, shared);                                                             \
        Norm norm{weight, eps, offset};                                                            \
        if (weight != nullptr) {                                                                   \
            matvec_floats<format, most, true>(PRODUCTS, x, n, width, warps_of_team, norm, shared); \
        } else {                                                                                   \
            matvec_floats<format, most, false>(PRODUCTS, x, n, width, warps_of_team, norm, shared); \
        }                                                                                          \
    }                                                                                              \
    EXPORT(matvec_##format##_##most)

#define DEFINE_MATVEC(format)                                                                      \
    DEFINE_MATVEC_OF(format, 1)                                                                    \
    DEFINE_MATVEC_OF(format, 2) DEFINE_MATVEC_OF(format, 4) DEFINE_MATVEC_OF(format, 8)

FOR_EACH_FLOAT(DEFINE_MATVEC)

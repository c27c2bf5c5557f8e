// Few rows of activations, as they are, with weights that are plain numbers. The width is a multiple
// of eight.

#include "matvec.cuh"
#include "weights.cuh"

// `N` is the most rows of activations, `n` how many there are.
template <class Float, unsigned N>
__device__ __forceinline__ void matvec_floats(const Products &products, const float *x, unsigned n,
                                              unsigned width, unsigned warps_of_team, float *shared) {
    constexpr unsigned ROWS = TILE_ROWS<N>;
    // Values of 16 bytes, which a lane loads at once; and loads of a row before the first is used.
    constexpr unsigned CHUNK = 16 / Float::BYTES, AHEAD = N == 1 ? 4 : 2;
    Team<ROWS> team(products, warps_of_team);
    unsigned n_chunks = width / CHUNK;
    size_t row_bytes = static_cast<size_t>((width + UNIT - 1) / UNIT) * (UNIT * Float::BYTES);
    float sums[ROWS][N] = {};
    for (unsigned chunk = team.first; team.is_there() && chunk < n_chunks; chunk += team.stride * AHEAD) {
        unsigned raw[AHEAD][ROWS][4];
#pragma unroll
        for (unsigned a = 0; a < AHEAD; a++) {
            // What is behind the row is loaded from its end, and not used.
            unsigned at = min(chunk + a * team.stride, n_chunks - 1);
#pragma unroll
            for (unsigned i = 0; i < ROWS; i++) {
                const uint8_t *from = team.weights[i] + team.rows[i] * row_bytes + at * 16;
                load_words<4, Cached::NO>(raw[a][i], from);
            }
        }
#pragma unroll
        for (unsigned a = 0; a < AHEAD; a++) {
            unsigned at = chunk + a * team.stride;
            if (at >= n_chunks) {
                break;
            }
            float values[ROWS][CHUNK];
#pragma unroll
            for (unsigned i = 0; i < ROWS; i++) {
                floats_of<Float>(raw[a][i], values[i]);
            }
#pragma unroll
            for (unsigned j = 0; j < N; j++) {
                const float *row = x + static_cast<size_t>(min(j, n - 1)) * width;
                const float4 *from = reinterpret_cast<const float4 *>(row + at * CHUNK);
#pragma unroll
                for (unsigned k = 0; k < CHUNK / 4; k++) {
                    float4 four = __ldg(from + k);
#pragma unroll
                    for (unsigned i = 0; i < ROWS; i++) {
                        float sum = sums[i][j];
                        sum += four.x * values[i][4 * k];
                        sum += four.y * values[i][4 * k + 1];
                        sum += four.z * values[i][4 * k + 2];
                        sum += four.w * values[i][4 * k + 3];
                        sums[i][j] = sum;
                    }
                }
            }
        }
    }
    finish<ROWS, N>(team.tile, n, warps_of_team, sums, shared);
}

#define DEFINE_MATVEC_OF(format, most)                                                             \
    extern "C" __global__ void __launch_bounds__(MATVEC_WARPS *WARP)                               \
        matvec_##format##_##most(PRODUCTS_PARAMETERS, const float *x, unsigned n, unsigned width,  \
                                 unsigned warps_of_team) {                                         \
        DYNAMIC_SHARED(float, shared);                                                             \
        matvec_floats<format, most>(PRODUCTS, x, n, width, warps_of_team, shared);                 \
    }                                                                                              \
    EXPORT(matvec_##format##_##most)

#define DEFINE_MATVEC(format)                                                                      \
    DEFINE_MATVEC_OF(format, 1)                                                                    \
    DEFINE_MATVEC_OF(format, 2) DEFINE_MATVEC_OF(format, 4) DEFINE_MATVEC_OF(format, 8)

FOR_EACH_FLOAT(DEFINE_MATVEC)

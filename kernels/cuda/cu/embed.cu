// Rows of a table, by number.

#include "weights.cuh"

// `out[i] = scale * table[tokens[i]]`, `[n, width]`: a block for each token, and for each 128 halves of
// units. A token that the table does not have gives no number.
template <class Encoding>
__device__ __forceinline__ void embed(const uint8_t *table, unsigned n_rows, unsigned width,
                                      const unsigned *tokens, float scale, float *out) {
    unsigned n_units = (width + UNIT - 1) / UNIT, row_units = units_of_row<Encoding>(width);
    unsigned half = blockIdx.y * blockDim.x + threadIdx.x;
    if (half >= 2 * n_units) {
        return;
    }
    unsigned token = tokens[blockIdx.x];
    float values[16];
    if (token < n_rows) {
        Reader<Encoding> reader(static_cast<size_t>(n_rows) * row_units);
        size_t unit = static_cast<size_t>(token) * row_units + half / 2;
        Reader<Encoding>::values(reader.load(table, unit, half % 2), half % 2, values);
    } else {
        for (unsigned i = 0; i < 16; i++) {
            values[i] = __uint_as_float(0x7fc00000u);
        }
    }
    float *row = out + static_cast<size_t>(blockIdx.x) * width;
    for (unsigned i = 0; i < 16; i++) {
        if (16 * half + i < width) {
            row[16 * half + i] = scale * values[i];
        }
    }
}

#define DEFINE_EMBED(name)                                                                         \
    extern "C" __global__ void __launch_bounds__(128)                                              \
        embed_##name(const uint8_t *table, unsigned n_rows, unsigned width, const unsigned *tokens, \
                     float scale, float *out) {                                                    \
        await_earlier_launches();                                                                  \
        embed<name>(table, n_rows, width, tokens, scale, out);                                     \
    }                                                                                              \
    EXPORT(embed_##name)

FOR_EACH_LEGACY(DEFINE_EMBED)
FOR_EACH_K_QUANT(DEFINE_EMBED)
FOR_EACH_FLOAT(DEFINE_EMBED)

// Tensor cores. Fragments of `mma.m16n8k16` and tiles of `ldmatrix` lie as the PTX manual says.
#include "block.h"

namespace emulation {

float widen_e4m3(uint8_t bits) {
    unsigned exponent = (bits >> 3) & 15u, fraction = bits & 7u;
    if (exponent == 15 && fraction == 7) {
        return NAN;
    }
    // The smallest numbers have no leading one.
    float size = exponent == 0 ? ldexpf(static_cast<float>(fraction), -9)
                               : ldexpf(static_cast<float>(8 + fraction), static_cast<int>(exponent) - 10);
    return bits & 0x80u ? -size : size;
}

namespace {

using Eight = float __attribute__((vector_size(32)));

template <typename Operand> const Operand &operand_of(void *const *operands, unsigned lane) {
    return *static_cast<const Operand *>(operands[lane]);
}

float widen_bf16(uint16_t bits) { return bits_as<float>(static_cast<unsigned>(bits) << 16); }

float widen_f16(uint16_t bits) { return f16_to_f32(bits); }

// Four bits in the middle of a byte; the others are not looked at.
float widen_e2m1(uint8_t bits) {
    constexpr float SIZES[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    float size = SIZES[(bits >> 2) & 7u];
    return bits & 0x20u ? -size : size;
}

// A power of two, but for a last one that is none.
float widen_ue8m0(unsigned bits) {
    unsigned exponent = bits & 0xffu;
    return exponent == 255 ? NAN : ldexpf(1.0f, static_cast<int>(exponent) - 127);
}

// `a` has 32 bytes of each row in two halves, `b` likewise of each column: 16 numbers, or 32.
template <typename Number, float (*widen)(Number)> void multiply(void *const *operands) {
    constexpr unsigned OF_WORD = 4 / sizeof(Number), BITS = 8 * sizeof(Number), N = 8 * OF_WORD;
    float a[16][N];
    Eight b[N], d[16] = {};
    for (unsigned lane = 0; lane < LANES; lane++) {
        const Product &fragment = operand_of<Product>(operands, lane);
        unsigned group = lane / 4, first = OF_WORD * (lane % 4);
        for (unsigned i = 0; i < OF_WORD; i++) {
            unsigned shift = BITS * i;
            for (unsigned word = 0; word < 4; word++) {
                // Words 1 and 3 are eight rows below, words 2 and 3 half of the columns to the right.
                a[group + 8 * (word % 2)][first + i + N / 2 * (word / 2)] =
                    widen(static_cast<Number>(fragment.a[word] >> shift));
            }
            for (unsigned word = 0; word < 2; word++) {
                b[first + i + N / 2 * word][group] = widen(static_cast<Number>(fragment.b[word] >> shift));
            }
        }
    }
    for (unsigned row = 0; row < 16; row++) {
        for (unsigned k = 0; k < N; k++) {
            d[row] += a[row][k] * b[k];
        }
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        const Product &fragment = operand_of<Product>(operands, lane);
        unsigned group = lane / 4, pair = 2 * (lane % 4);
        for (unsigned i = 0; i < 4; i++) {
            fragment.d[i] += d[group + 8 * (i / 2)][pair + i % 2];
        }
    }
}

template <bool is_transposed> void load(void *const *operands) {
    for (unsigned tile = 0; tile < 4; tile++) {
        uint16_t values[8][8];
        for (unsigned row = 0; row < 8; row++) {
            const void *address = operand_of<Tiles>(operands, 8 * tile + row).row;
            if (reinterpret_cast<uintptr_t>(address) % 16 != 0 || !is_shared(address, 16)) {
                fail("load_tiles: lane %u gives %p, which is not shared memory aligned to 16",
                     8 * tile + row, address);
            }
            memcpy(values[row], address, 16);
        }
        for (unsigned lane = 0; lane < LANES; lane++) {
            unsigned row = lane / 4, column = 2 * (lane % 4);
            unsigned lower = is_transposed ? values[column][row] : values[row][column];
            unsigned upper = is_transposed ? values[column + 1][row] : values[row][column + 1];
            operand_of<Tiles>(operands, lane).tiles[tile] = lower | (upper << 16);
        }
    }
}

} // namespace

void multiply_bf16(void *const *operands, unsigned) { multiply<uint16_t, widen_bf16>(operands); }

void multiply_f16(void *const *operands, unsigned) { multiply<uint16_t, widen_f16>(operands); }

void multiply_e4m3(void *const *operands, unsigned) { multiply<uint8_t, widen_e4m3>(operands); }

void multiply_mx(void *const *operands, unsigned) {
    float a[16][32];
    Eight b[32], d[16] = {};
    for (unsigned lane = 0; lane < LANES; lane++) {
        const ScaledProduct &own = operand_of<ScaledProduct>(operands, lane);
        unsigned group = lane / 4, first = 4 * (lane % 4);
        for (unsigned i = 0; i < 4; i++) {
            for (unsigned word = 0; word < 4; word++) {
                a[group + 8 * (word % 2)][first + i + 16 * (word / 2)] =
                    widen_e2m1(static_cast<uint8_t>(own.product.a[word] >> (8 * i)));
            }
            for (unsigned word = 0; word < 2; word++) {
                b[first + i + 16 * word][group] =
                    widen_e4m3(static_cast<uint8_t>(own.product.b[word] >> (8 * i)));
            }
        }
    }
    for (unsigned row = 0; row < 16; row++) {
        for (unsigned k = 0; k < 32; k++) {
            d[row] += a[row][k] * b[k];
        }
    }
    // The first two lanes of four have the rows' scales, the first one has the column's.
    for (unsigned lane = 0; lane < LANES; lane++) {
        const ScaledProduct &own = operand_of<ScaledProduct>(operands, lane);
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = lane / 4 + 8 * (i / 2), column = 2 * (lane % 4) + i % 2;
            unsigned of_row = 4 * (row % 8) + row / 8, of_column = 4 * column;
            float scale = widen_ue8m0(operand_of<ScaledProduct>(operands, of_row).a_scale);
            scale *= widen_ue8m0(operand_of<ScaledProduct>(operands, of_column).b_scale);
            own.product.d[i] += scale * d[row][column];
        }
    }
}

void note_tile(const void *row) { note(row, 16, Access::read, __builtin_return_address(0)); }

void load_plain(void *const *operands, unsigned) { load<false>(operands); }

void load_transposed(void *const *operands, unsigned) { load<true>(operands); }

} // namespace emulation

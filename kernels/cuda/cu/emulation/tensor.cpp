// Tensor cores. Fragments of `mma.m16n8k16` and tiles of `ldmatrix` lie as the PTX manual says.
#include "block.h"

namespace emulation {
namespace {

using Eight = float __attribute__((vector_size(32)));

template <typename Operand> const Operand &operand_of(void *const *operands, unsigned lane) {
    return *static_cast<const Operand *>(operands[lane]);
}

float widen_bf16(uint16_t bits) { return bits_as<float>(static_cast<unsigned>(bits) << 16); }

float widen_f16(uint16_t bits) { return f16_to_f32(bits); }

template <float (*widen)(uint16_t)> void multiply(void *const *operands) {
    float a[16][16];
    Eight b[16], d[16] = {};
    for (unsigned lane = 0; lane < LANES; lane++) {
        const Product &fragment = operand_of<Product>(operands, lane);
        unsigned group = lane / 4, pair = 2 * (lane % 4);
        for (unsigned i = 0; i < 2; i++) {
            unsigned shift = 16 * i;
            for (unsigned word = 0; word < 4; word++) {
                // Words 1 and 3 are eight rows below, words 2 and 3 eight columns to the right.
                a[group + 8 * (word % 2)][pair + i + 8 * (word / 2)] =
                    widen(static_cast<uint16_t>(fragment.a[word] >> shift));
            }
            for (unsigned word = 0; word < 2; word++) {
                b[pair + i + 8 * word][group] = widen(static_cast<uint16_t>(fragment.b[word] >> shift));
            }
        }
    }
    for (unsigned row = 0; row < 16; row++) {
        for (unsigned k = 0; k < 16; k++) {
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

void multiply_bf16(void *const *operands, unsigned) { multiply<widen_bf16>(operands); }

void multiply_f16(void *const *operands, unsigned) { multiply<widen_f16>(operands); }

void note_tile(const void *row) { note(row, 16, Access::read, __builtin_return_address(0)); }

void load_plain(void *const *operands, unsigned) { load<false>(operands); }

void load_transposed(void *const *operands, unsigned) { load<true>(operands); }

} // namespace emulation

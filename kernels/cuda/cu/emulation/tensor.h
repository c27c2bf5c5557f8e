// What `mma.cuh`, `mma_f16.cuh` and `mma_fp8.cuh` have for a device, and `mma_mx.cuh`: tensor cores and asynchronous copies.
#pragma once

namespace emulation {

struct Product {
    float (&d)[4];
    const unsigned (&a)[4];
    const unsigned (&b)[2];
};
void multiply_bf16(void *const *operands, unsigned mask);
void multiply_f16(void *const *operands, unsigned mask);
void multiply_e4m3(void *const *operands, unsigned mask);

struct ScaledProduct {
    Product product;
    unsigned a_scale, b_scale;
};
void multiply_mx(void *const *operands, unsigned mask);
float widen_e4m3(uint8_t bits);

struct Tiles {
    unsigned (&tiles)[4];
    const void *row;
};
// That a lane's row is read is said by the lane, before others come.
void note_tile(const void *row);
void load_plain(void *const *operands, unsigned mask);
void load_transposed(void *const *operands, unsigned mask);

void copy(void *shared, const void *global, bool is_there);
void commit();
void wait(unsigned n_groups);

} // namespace emulation

inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], EMULATION_CALLER) {
    emulation::Product operands = {d, a, b};
    emulation::gather(0xffffffffu, emulation::multiply_bf16, &operands, {"mma_bf16", file, line});
}

inline void mma_f16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], EMULATION_CALLER) {
    emulation::Product operands = {d, a, b};
    emulation::gather(0xffffffffu, emulation::multiply_f16, &operands, {"mma_f16", file, line});
}

inline void mma_e4m3(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], EMULATION_CALLER) {
    emulation::Product operands = {d, a, b};
    emulation::gather(0xffffffffu, emulation::multiply_e4m3, &operands, {"mma_e4m3", file, line});
}

inline void mma_mx(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], unsigned a_scale,
                   unsigned b_scale, EMULATION_CALLER) {
    emulation::ScaledProduct operands = {{d, a, b}, a_scale, b_scale};
    emulation::gather(0xffffffffu, emulation::multiply_mx, &operands, {"mma_mx", file, line});
}

inline void load_tiles(unsigned (&tiles)[4], const void *row, EMULATION_CALLER) {
    emulation::note_tile(row);
    emulation::Tiles operands = {tiles, row};
    emulation::gather(0xffffffffu, emulation::load_plain, &operands, {"load_tiles", file, line});
}

inline void load_tiles_transposed(unsigned (&tiles)[4], const void *row, EMULATION_CALLER) {
    emulation::note_tile(row);
    emulation::Tiles operands = {tiles, row};
    emulation::gather(0xffffffffu, emulation::load_transposed, &operands,
                      {"load_tiles_transposed", file, line});
}

// The copy happens when it is waited for; until then there is NaN.
inline void copy_async_16(void *shared, const void *global, bool is_there) {
    emulation::copy(shared, global, is_there);
}

inline void commit_copies() { emulation::commit(); }

template <int N> inline void wait_copies() {
    static_assert(N >= 0, "a number of groups");
    emulation::wait(N);
}

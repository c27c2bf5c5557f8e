// What `warpgroup.cuh` has for a device: barriers that copies arrive at, copies of tiles, and products
// of four warps at a time.
#pragma once

// As `src/device/emulated/tensor_maps.rs` writes them.
struct alignas(64) TensorMap {
    unsigned char bytes[128];
};

#define __grid_constant__

namespace emulation {

void make_barrier(uint64_t *barrier, unsigned n_arrivals);
void publish();
void arrive_at(uint64_t *barrier, unsigned n_bytes);
void wait_at(uint64_t *barrier, unsigned parity, Site site);

void copy_tile(void *shared, const TensorMap &map, unsigned column, unsigned row, uint64_t *barrier);
// What the calling thread has written before is seen by copies and products.
void show_writes();

// As a descriptor has it.
unsigned shared_address_of(const void *shared);

struct TileProduct {
    float *sums;
    unsigned n_columns;
    uint64_t left, right;
    bool adds;
    // Whether numbers are E4M3, not bfloat16.
    bool is_fp8;
};
void begin_product(void *const *operands, unsigned mask);
void fence_products(void *const *operands, unsigned mask);
void commit_products(void *const *operands, unsigned mask);
// The operands are pointers to how many groups may be under way.
void wait_for_products(void *const *operands, unsigned mask);

} // namespace emulation

inline unsigned shared_address(const void *shared) { return emulation::shared_address_of(shared); }

inline void init_barrier(uint64_t *barrier, unsigned n_arrivals) {
    emulation::make_barrier(barrier, n_arrivals);
}

inline void publish_barriers() { emulation::publish(); }

inline void arrive(uint64_t *barrier) { emulation::arrive_at(barrier, 0); }

inline void arrive_expecting(uint64_t *barrier, unsigned n_bytes) { emulation::arrive_at(barrier, n_bytes); }

inline void wait_for_phase(uint64_t *barrier, unsigned parity, EMULATION_CALLER) {
    emulation::wait_at(barrier, parity, {"wait_for_phase", file, line});
}

// It happens when nobody can go on without; until then there is NaN.
inline void copy_tile_async(void *shared, const TensorMap &map, unsigned column, unsigned row,
                            uint64_t *barrier) {
    emulation::copy_tile(shared, map, column, row, barrier);
}

inline void show_shared_writes() { emulation::show_writes(); }

template <unsigned N> inline void take_registers() {
    static_assert(N >= 24 && N <= 256 && N % 8 == 0, "a number of registers");
}
template <unsigned N> inline void give_registers() {
    static_assert(N >= 24 && N <= 256 && N % 8 == 0, "a number of registers");
}

inline void fence_products(EMULATION_CALLER) {
    emulation::gather(0xffffffffu, emulation::fence_products, nullptr, {"fence_products", file, line});
}

inline void commit_products(EMULATION_CALLER) {
    emulation::gather(0xffffffffu, emulation::commit_products, nullptr, {"commit_products", file, line});
}

// Products happen when they are waited for; until then sums are NaN.
template <unsigned N> inline void wait_products(EMULATION_CALLER) {
    unsigned n_groups = N;
    emulation::gather(0xffffffffu, emulation::wait_for_products, &n_groups, {"wait_products", file, line});
}

template <unsigned N>
inline void multiply_tiles(float (&sums)[N / 2], uint64_t left, uint64_t right, bool adds,
                           EMULATION_CALLER) {
    static_assert(N >= 8 && N <= 256 && N % 8 == 0, "columns of a product");
    emulation::TileProduct operands = {sums, N, left, right, adds, false};
    emulation::gather(0xffffffffu, emulation::begin_product, &operands, {"multiply_tiles", file, line});
}

inline void multiply_fp8_tiles(float (&sums)[64], uint64_t left, uint64_t right, bool adds,
                               EMULATION_CALLER) {
    emulation::TileProduct operands = {sums, 128, left, right, adds, true};
    emulation::gather(0xffffffffu, emulation::begin_product, &operands, {"multiply_fp8_tiles", file, line});
}

template <unsigned N> inline void receive_sums(float (&)[N]) {}

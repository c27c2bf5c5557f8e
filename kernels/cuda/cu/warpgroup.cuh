// What devices of compute capability 9.0 have for products of large tiles: copies of tiles that a
// single thread starts, barriers in shared memory that they arrive at, and products of four warps (a
// warpgroup) that read both operands from shared memory. Elsewhere nothing of this exists; kernels that
// use it are compiled where `HAS_WARPGROUPS` is defined.
//
// 1. A barrier is made for a number of arrivals (`init_barrier`), and published before copies use it. Its
//    phases have parities 0, 1, 0, …; `wait_for_phase` waits until the phase of that parity is over, so
//    that for a new barrier 1 is over already.
// 2. A copy brings 64 rows of 64 values of 16 bits (`TILE_ROWS`, `STEP`) from a matrix that a tensor map
//    describes; zeros are what the matrix does not have. In shared memory a row has 128 bytes, and chunks
//    of 16 bytes change places (`swizzled_chunk`) so that eight rows of the same chunk lie in different
//    banks. Such a tile begins at a multiple of 1024 bytes.
// 3. A product takes its operands by descriptors, `tile_descriptor` of their first row and value.
#pragma once

#include "common.cuh"

#if defined(PONDER_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HAS_WARPGROUPS
#endif

constexpr unsigned WARPGROUP = 128;

// Rows of a tile that is copied, and values of a row.
constexpr unsigned TILE_ROWS = 64, STEP = 64;
constexpr unsigned TILE_BYTES = TILE_ROWS * STEP * 2;

// Where a chunk of eight values of a row lies in a tile.
__device__ __forceinline__ unsigned char *swizzled_chunk(unsigned char *tile, unsigned row, unsigned chunk) {
    return tile + row * (STEP * 2) + (chunk ^ (row % 8)) * 16;
}

#ifndef PONDER_EMULATED

// What the driver makes of a matrix (`CUtensorMap`).
struct __align__(64) TensorMap {
    unsigned char bytes[128];
};

#ifdef HAS_WARPGROUPS

__device__ __forceinline__ unsigned shared_address(const void *shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

__device__ __forceinline__ void init_barrier(uint64_t *barrier, unsigned n_arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(n_arrivals)
                 : "memory");
}

// Barriers that the thread has made exist for copies, too.
__device__ __forceinline__ void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// Arrives, and lets the phase last until so many bytes have been copied.
__device__ __forceinline__ void arrive_expecting(uint64_t *barrier, unsigned n_bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(n_bytes)
                 : "memory");
}

__device__ __forceinline__ void wait_for_phase(uint64_t *barrier, unsigned parity) {
    unsigned is_over;
    do {
        asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n}"
                     : "=r"(is_over)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
    } while (!is_over);
}

// Copies the tile whose first value is in this column and row of the matrix.
__device__ __forceinline__ void copy_tile_async(void *shared, const TensorMap &map, unsigned column,
                                                unsigned row, uint64_t *barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(shared)),
                 "l"(&map), "r"(column), "r"(row), "r"(shared_address(barrier))
                 : "memory");
}

// What the thread has written to shared memory before is seen by products.
__device__ __forceinline__ void show_shared_writes() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// The warps of a warpgroup have so many registers for each thread from now on: more, or fewer.
template <unsigned N> __device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}
template <unsigned N> __device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}

// Hands sums over to products that follow.
__device__ __forceinline__ void fence_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void commit_products() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until `N` groups at most are under way.
template <unsigned N> __device__ __forceinline__ void wait_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

#define REGISTERS_8(i)                                                                             \
    "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]), "+f"(sums[i + 4]),     \
        "+f"(sums[i + 5]), "+f"(sums[i + 6]), "+f"(sums[i + 7])
#define REGISTERS_32(i) REGISTERS_8(i), REGISTERS_8(i + 8), REGISTERS_8(i + 16), REGISTERS_8(i + 24)

// sums[64, N] (+)= left[64, 16] @ right[N, 16]ᵀ, bfloat16 in, float32 out, without waiting. Of sixteen
// rows, those of the warp in its warpgroup, lane `l` has rows `l / 4` and `l / 4 + 8`, and of each eight
// columns the pair `2 * (l % 4)`: sums 4j and 4j + 1 are in the first row, the two behind them in the other.
template <unsigned N>
__device__ __forceinline__ void multiply_tiles(float (&sums)[N / 2], uint64_t left, uint64_t right,
                                               bool adds) {
    static_assert(N == 128 || N == 256, "the products that are written out here");
    if constexpr (N == 128) {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
                     "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,"
                     "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,"
                     "%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,"
                     "%59,%60,%61,%62,%63}, "
                     "%64, %65, p, 1, 1, 0, 0;\n}"
                     : REGISTERS_32(0), REGISTERS_32(32)
                     : "l"(left), "l"(right), "r"(static_cast<unsigned>(adds)));
    } else {
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
                     "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
                     "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,"
                     "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,"
                     "%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,"
                     "%59,%60,%61,%62,%63,%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,"
                     "%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95,%96,"
                     "%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,"
                     "%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}, "
                     "%128, %129, p, 1, 1, 0, 0;\n}"
                     : REGISTERS_32(0), REGISTERS_32(32), REGISTERS_32(64), REGISTERS_32(96)
                     : "l"(left), "l"(right), "r"(static_cast<unsigned>(adds)));
    }
}

// The same of floats of eight bits (E4M3), 32 of them in as many bytes, with 128 rows on the right. Sums
// have fewer bits than float32 within products, so that they should not become long.
__device__ __forceinline__ void multiply_fp8_tiles(float (&sums)[64], uint64_t left, uint64_t right,
                                                   bool adds) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k32.f32.e4m3.e4m3 "
                 "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,"
                 "%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31,%32,%33,%34,%35,%36,%37,%38,%39,"
                 "%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,"
                 "%59,%60,%61,%62,%63}, "
                 "%64, %65, p, 1, 1;\n}"
                 : REGISTERS_32(0), REGISTERS_32(32)
                 : "l"(left), "l"(right), "r"(static_cast<unsigned>(adds)));
}

// Sums that were waited for: nothing that reads them is moved up.
template <unsigned N> __device__ __forceinline__ void receive_sums(float (&sums)[N]) {
#pragma unroll
    for (unsigned i = 0; i < N; i++) {
        asm volatile("" : "+f"(sums[i])::"memory");
    }
}

#undef REGISTERS_32
#undef REGISTERS_8

#endif
#endif

#ifdef HAS_WARPGROUPS
// Rows of a tile from `shared` on, which is the first of eight rows, sixteen values of each: from the
// beginning of the rows, or from some 16 values on. Eight rows have 1024 bytes.
__device__ __forceinline__ uint64_t tile_descriptor(const unsigned char *shared) {
    constexpr uint64_t EIGHT_ROWS = 1024, PATTERN_OF_128_BYTES = 1;
    return (shared_address(shared) & 0x3ffff) >> 4 | EIGHT_ROWS >> 4 << 32 | PATTERN_OF_128_BYTES << 62;
}
#endif

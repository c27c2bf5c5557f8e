// Kernels of products with many rows of activations.
#pragma once

#include "matmul.cuh"

template <class Kernel>
__device__ __forceinline__ void matmul(const Products &products, const Activations &x, unsigned n,
                                       unsigned width, const Shares &shares, uint16_t *shared) {
    if constexpr (Cores<typename Kernel::Number>::IS_USED) {
        Kernel kernel(products, x, n, width, shared);
        if (kernel.columns.n == 0) {
            return;
        }
        unsigned share = (kernel.n_units + gridDim.z - 1) / gridDim.z;
        unsigned first = blockIdx.z * share;
        // No share is empty: the launch sees to it.
        kernel.run(first, min(first + share, kernel.n_units));
        // Shared memory serves other ends now.
        __syncthreads();
        if (gridDim.z > 1) {
            if (!kernel.gather(shares, reinterpret_cast<unsigned *>(shared))) {
                return;
            }
        }
        kernel.write(reinterpret_cast<float *>(shared));
    } else {
        // The kernel of the other type is launched on such devices.
#ifndef PONDER_EMULATED
        __trap();
#endif
    }
}

#define DEFINE_MATMUL_OF(name, size, rows, columns, warp_rows, warp_columns)                       \
    extern "C" __global__ void __launch_bounds__(2 * rows)                                         \
        matmul_##name##_##size(PRODUCTS_PARAMETERS, const uint16_t *x, unsigned n, unsigned width, \
                               float *share_sums, unsigned *share_done) {                          \
        await_earlier_launches();                                                                  \
        DYNAMIC_SHARED(uint16_t, shared);                                                          \
        Activations activations{x, nullptr};                                                       \
        Shares shares{share_sums, share_done};                                                     \
        using Kernel = Matmul<name, bf16, rows, columns, warp_rows, warp_columns>;                 \
        matmul<Kernel>(PRODUCTS, activations, n, width, shares, shared);                           \
    }                                                                                              \
    EXPORT(matmul_##name##_##size)

// With scales of activations, which are of another type: `suffix` stands for it in the name.
#define DEFINE_SCALED_MATMUL_OF(name, number, suffix, size, rows, columns, warp_rows, warp_columns) \
    extern "C" __global__ void __launch_bounds__(2 * rows)                                         \
        matmul_##name##_##suffix##_##size(PRODUCTS_PARAMETERS, const uint16_t *x,                  \
                                          const float *x_scales, unsigned n, unsigned width,       \
                                          float *share_sums, unsigned *share_done) {               \
        await_earlier_launches();                                                                  \
        DYNAMIC_SHARED(uint16_t, shared);                                                          \
        Activations activations{x, x_scales};                                                      \
        Shares shares{share_sums, share_done};                                                     \
        using Kernel = Matmul<name, number, rows, columns, warp_rows, warp_columns>;               \
        matmul<Kernel>(PRODUCTS, activations, n, width, shares, shared);                           \
    }                                                                                              \
    EXPORT(matmul_##name##_##suffix##_##size)

// Three sizes of tiles, for few, some and many rows of activations; in half precision two.
#define DEFINE_SMALL_MATMULS(name)                                                                 \
    DEFINE_MATMUL_OF(name, small, 64, 32, 16, 32)                                                  \
    DEFINE_MATMUL_OF(name, medium, 64, 64, 32, 32)                                                 \
    DEFINE_SCALED_MATMUL_OF(name, f16, half, small, 64, 32, 16, 32)                                \
    DEFINE_SCALED_MATMUL_OF(name, f16, half, medium, 64, 64, 32, 32)

#define DEFINE_MATMULS(name) DEFINE_SMALL_MATMULS(name) DEFINE_MATMUL_OF(name, large, 128, 128, 64, 32)

#define DEFINE_EIGHT_BIT_MATMULS(name, number)                                                     \
    DEFINE_SCALED_MATMUL_OF(name, number, number, small, 64, 32, 16, 32)                           \
    DEFINE_SCALED_MATMUL_OF(name, number, number, medium, 64, 64, 32, 32)                          \
    DEFINE_SCALED_MATMUL_OF(name, number, number, large, 128, 128, 64, 32)

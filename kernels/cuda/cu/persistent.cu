// Steps of one sequence as one kernel.
#if defined(PONDER_EMULATED) || !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#include "persistent.cuh"

#include "append.cu"
#include "elementwise.cu"
#include "embed.cu"
#include "experts.cu"
#include "recurrent.cu"
#include "round.cu"

#include "matvec_floats.cu"
#undef DEFINE_MATVEC
#undef DEFINE_MATVEC_OF
#include "matvec_k.cu"
#include "matvec_legacy.cu"

#include "attention_bf16.cu"
#include "attention_f16.cu"

#undef gridDim
#undef blockIdx
#pragma pop_macro("EXPORT")
#pragma pop_macro("__launch_bounds__")
#pragma pop_macro("__global__")

enum : unsigned {
#define OPERATION(name) NUMBER_OF_##name,
#define ANY_SIZE(name) NUMBER_OF_##name,
#include "operations.cuh"
#undef OPERATION
#undef ANY_SIZE
};

__device__ __forceinline__ void run(const Operation &operation) {
    switch (operation.kernel) {
#define OPERATION(name)                                                                            \
    case NUMBER_OF_##name:                                                                         \
        Called<decltype(&name), &name>::with(operation.arguments);                                 \
        break;
#define ANY_SIZE(name) OPERATION(name)
#include "operations.cuh"
#undef OPERATION
#undef ANY_SIZE
    }
}

// `n` operations, one after the other; all blocks of the launch run at the same time. `n_arrived` is 0, and
// will be 0 in the end.
extern "C" __global__ void __launch_bounds__(OPERATION_THREADS, 3)
    run_operations(const Operation *operations, unsigned n, unsigned *n_arrived) {
    const unsigned *words = reinterpret_cast<const unsigned *>(operations);
    unsigned *place = reinterpret_cast<unsigned *>(&progress.operation);
    bool has_word = threadIdx.x < OPERATION_WORDS;
    unsigned word = has_word ? __ldg(words + threadIdx.x) : 0;
    // Nothing comes before the first one.
    progress.awaited[threadIdx.x] = 0;
    if (threadIdx.x == 0) {
        progress.n_arrived = n_arrived;
    }
    for (unsigned number = 0; number < n; number++) {
        if (has_word) {
            place[threadIdx.x] = word;
        }
        if (threadIdx.x == 0) {
            progress.number = number;
        }
        __syncthreads();
        // The next one comes meanwhile.
        words += OPERATION_WORDS;
        word = has_word && number + 1 < n ? __ldg(words + threadIdx.x) : 0;
        if (number > 0) {
            begin_operation();
        }
        uint3 grid = grid_of_operation();
        for (unsigned i = own_block(); i < grid.x * grid.y * grid.z; i += n_own_blocks()) {
            if (threadIdx.x % WARP == 0) {
                progress.block[threadIdx.x / WARP] = make_uint3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
            }
            __syncwarp();
            run(progress.operation);
            // What it has in shared memory makes room for the next one.
            __syncthreads();
        }
        await_earlier_launches();
        __syncthreads();
        if (threadIdx.x == 0) {
            arrive(number, n);
        }
    }
}
EXPORT(run_operations)
#endif

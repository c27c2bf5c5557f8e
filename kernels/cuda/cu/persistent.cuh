// One kernel for what many launches did: its blocks stay, and go through a list of operations together.
//
// An operation is a launch that was recorded: which kernel, of how many blocks, with what arguments. Each
// block that is here works on the blocks of the operation that fall to it, one after the other. Kernels
// are compiled as functions, from their own files: what these know of the launch (`blockIdx`, `gridDim`)
// is the operation's, and `await_earlier_launches` waits until all blocks are through with the operation
// before. What they do before that call, they do while others still work: weights are on their way by
// then.
#pragma once

#define PONDER_PERSISTENT
#include "common.cuh"

#ifndef PONDER_EMULATED
#include <type_traits>
#include <utility>
#endif

constexpr unsigned OPERATION_THREADS = 128, OPERATION_ARGUMENTS = 32;

// Laid out as in `src/device/program.rs`. Arguments begin at the lowest byte of their words.
struct __align__(16) Operation {
    unsigned kernel;
    unsigned grid[3];
    unsigned long long arguments[OPERATION_ARGUMENTS];
};

constexpr unsigned OPERATION_WORDS = sizeof(Operation) / 4;
static_assert(OPERATION_WORDS <= OPERATION_THREADS, "each thread brings a word");

// What the threads of a block know of where they are.
struct Progress {
    Operation operation;
    // Operations before this one.
    unsigned number;
    // Blocks that are through with an operation, of all operations together.
    unsigned *n_arrived;
    // For each warp, the operation's block.
    uint3 block[OPERATION_THREADS / WARP];
    // For each thread, the operation before which it knows that everything is done.
    unsigned awaited[OPERATION_THREADS];
};
__shared__ Progress progress;

__device__ __forceinline__ unsigned own_block() { return blockIdx.x; }
__device__ __forceinline__ unsigned n_own_blocks() { return gridDim.x; }

#ifdef PONDER_EMULATED
using emulation::await_blocks;
using emulation::begin_operation;
#else
__device__ __forceinline__ void begin_operation() {}

// Waits until so many blocks are through, and sees what they have written.
__device__ __forceinline__ void await_blocks(const unsigned *n_arrived, unsigned n) {
    unsigned now;
    do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(now) : "l"(n_arrived) : "memory");
    } while (now < n);
    __threadfence();
}
#endif

// By all threads of a block.
__device__ __forceinline__ void await_earlier_launches() {
    unsigned number = progress.number;
    if (progress.awaited[threadIdx.x] == number) {
        return;
    }
    progress.awaited[threadIdx.x] = number;
    if (threadIdx.x == 0) {
        await_blocks(progress.n_arrived, number * n_own_blocks());
    }
    __syncthreads();
#ifdef PONDER_EMULATED
    emulation::await_launches();
#endif
}

// Tells that this block is through with operation `number` of `n`. Nobody waits for the last one: whoever
// comes last leaves the count as it was before the first.
__device__ __forceinline__ void arrive(unsigned number, unsigned n) {
    __threadfence();
    unsigned n_before = atomicAdd(progress.n_arrived, 1u);
    if (number + 1 == n && n_before + 1 == n * n_own_blocks()) {
        *progress.n_arrived = 0;
    }
}

// A function of so many arguments, called with those of an operation.
template <typename Argument> __device__ __forceinline__ Argument argument_of(unsigned long long word) {
    if constexpr (std::is_pointer_v<Argument>) {
        return reinterpret_cast<Argument>(word);
    } else if constexpr (std::is_same_v<Argument, float>) {
        return __uint_as_float(static_cast<unsigned>(word));
    } else {
        static_assert(std::is_same_v<Argument, unsigned>, "operations have pointers and numbers");
        return static_cast<unsigned>(word);
    }
}

template <typename Function, Function function> struct Called;

template <typename... Arguments, void (*function)(Arguments...)>
struct Called<void (*)(Arguments...), function> {
    static_assert(sizeof...(Arguments) <= OPERATION_ARGUMENTS, "more arguments than there is room for");

    template <size_t... Index>
    static __device__ __forceinline__ void with(const unsigned long long *words,
                                                std::index_sequence<Index...>) {
        function(argument_of<Arguments>(words[Index])...);
    }

    // Compiled by itself, whatever other functions there are.
    static __device__ __noinline__ void with(const unsigned long long *words) {
        with(words, std::index_sequence_for<Arguments...>());
    }
};

// From here on kernels are functions, and the launch is an operation.
__device__ __forceinline__ uint3 block_of_operation() { return progress.block[threadIdx.x / WARP]; }
__device__ __forceinline__ uint3 grid_of_operation() {
    const unsigned *grid = progress.operation.grid;
    return make_uint3(grid[0], grid[1], grid[2]);
}

#pragma push_macro("__global__")
#pragma push_macro("__launch_bounds__")
#pragma push_macro("EXPORT")
#undef __global__
#undef __launch_bounds__
#undef EXPORT
#define __global__ __device__ __forceinline__
#define __launch_bounds__(...)
#define EXPORT(name)
#define blockIdx block_of_operation()
#define gridDim grid_of_operation()

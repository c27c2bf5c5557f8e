// Barriers and shared memory.
#include "../common.cuh"

// Turns a block's values around, through shared memory, as often as it is told.
extern "C" __global__ void test_turn(unsigned *values, unsigned n_times) {
    DYNAMIC_SHARED(unsigned, shared);
    unsigned thread = threadIdx.x, n = blockDim.x;
    values += static_cast<size_t>(blockIdx.x) * n;
    unsigned value = values[thread];
    for (unsigned time = 0; time < n_times; time++) {
        shared[thread] = value;
        __syncthreads();
        value = shared[n - 1 - thread];
        __syncthreads();
    }
    values[thread] = value;
}
EXPORT(test_turn)

// Those with an even number end before the barrier of the others.
extern "C" __global__ void test_early_end(unsigned *out) {
    __shared__ unsigned sum;
    if (threadIdx.x == 1) {
        sum = 0;
    }
    if (threadIdx.x % 2 == 0) {
        return;
    }
    __syncthreads();
    atomicAdd(&sum, threadIdx.x);
    __syncthreads();
    out[threadIdx.x] = sum;
}
EXPORT(test_early_end)

// Two barriers where there is one for each thread.
extern "C" __global__ void test_two_barriers(unsigned *out) {
    if (threadIdx.x < 32) {
        __syncthreads();
        out[threadIdx.x] = 1;
    } else {
        __syncthreads();
        out[threadIdx.x] = 2;
    }
}
EXPORT(test_two_barriers)

template <typename T> __device__ void fill(T *out, T value) {
    __shared__ T values[8];
    __shared__ __align__(16) T others[4];
    out[threadIdx.x] = values[threadIdx.x];
    out[8 + threadIdx.x] = others[threadIdx.x % 4];
    __syncthreads();
    values[threadIdx.x] = value;
    if (threadIdx.x < 4) {
        others[threadIdx.x] = value;
    }
    __syncthreads();
    out[16 + threadIdx.x] = values[7 - threadIdx.x];
}

// What shared variables hold before somebody writes them: eight threads, out: [blocks][32].
extern "C" __global__ void test_unwritten(unsigned *out) {
    DYNAMIC_SHARED(unsigned, shared);
    out += static_cast<size_t>(blockIdx.x) * 32;
    fill(out, 5u);
    out[24 + threadIdx.x] = shared[threadIdx.x];
    __syncthreads();
    shared[threadIdx.x] = 6;
}
EXPORT(test_unwritten)

// The same of another type, which has variables of its own.
extern "C" __global__ void test_unwritten_floats(float *out) { fill(out, 5.0f); }
EXPORT(test_unwritten_floats)

// Where each thread stands; blocks and grids of three dimensions. out: [threads][4]
extern "C" __global__ void test_places(unsigned *out) {
    unsigned n_threads = blockDim.x * blockDim.y * blockDim.z;
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    unsigned *own = out + 4 * static_cast<size_t>(block * n_threads + thread);
    own[0] = threadIdx.x + 100 * blockIdx.x;
    own[1] = threadIdx.y + 100 * blockIdx.y;
    own[2] = threadIdx.z + 100 * blockIdx.z;
    own[3] += 1;
}
EXPORT(test_places)

// Counts blocks; the last one to come says so and resets the counter.
extern "C" __global__ void test_last_block(unsigned *counter, unsigned *n_last) {
    __shared__ bool is_last;
    if (threadIdx.x == 0) {
        __threadfence();
        is_last = atomicAdd(counter, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last && threadIdx.x == 0) {
        *counter = 0;
        atomicAdd(n_last, 1u);
    }
}
EXPORT(test_last_block)

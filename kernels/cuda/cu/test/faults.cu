// Kernels that do what they must not.
#include "../common.cuh"
#include "../mma.cuh"

// Writes one value `at` from the beginning of memory.
extern "C" __global__ void test_write_at(unsigned char *memory, unsigned at) {
    if (threadIdx.x == 3) {
        memory[at] = 1;
    }
}
EXPORT(test_write_at)

extern "C" __global__ void test_write_before(unsigned char *memory, unsigned distance) {
    if (threadIdx.x == 3) {
        *(memory - distance) = 1;
    }
}
EXPORT(test_write_before)

// Writes more than one value, by a function of the C library, whose accesses nobody announces.
extern "C" __global__ void test_fill(unsigned char *memory, unsigned n_bytes) {
    if (threadIdx.x == 3) {
        memset(memory, 1, n_bytes);
    }
}
EXPORT(test_fill)

extern "C" __global__ void test_read_at(const unsigned char *memory, unsigned at, unsigned *out) {
    if (threadIdx.x == 3) {
        *out = memory[at];
    }
}
EXPORT(test_read_at)

// Reads four numbers from `offset` on, which should be a multiple of four.
extern "C" __global__ void test_read_vector(const unsigned *memory, unsigned offset, unsigned *out) {
    uint4 values = *reinterpret_cast<const uint4 *>(memory + offset);
    if (threadIdx.x == 0) {
        out[0] = values.x + values.w;
    }
}
EXPORT(test_read_vector)

extern "C" __global__ void test_index(unsigned *out, unsigned index) {
    __shared__ unsigned values[4];
    values[index] = 1;
    out[0] = values[0];
}
EXPORT(test_index)

extern "C" __global__ void test_dynamic_index(unsigned *out, unsigned index) {
    DYNAMIC_SHARED(unsigned, values);
    values[index] = 1;
    out[0] = values[index];
}
EXPORT(test_dynamic_index)

extern "C" __global__ void test_shift(unsigned *out, unsigned n_bits) { out[0] = 1u << n_bits; }
EXPORT(test_shift)

__device__ __noinline__ unsigned descend(unsigned depth, volatile unsigned *out) {
    volatile unsigned local[64];
    local[depth % 64] = depth;
    unsigned below = depth == 0 ? 0 : descend(depth - 1, out);
    return below + local[depth % 64];
}

extern "C" __global__ void test_descent(unsigned *out, unsigned depth) { *out = descend(depth, out); }
EXPORT(test_descent)

extern "C" __global__ void test_copy_of_unaligned(const float *from, float *out, unsigned offset) {
    __shared__ __align__(16) float shared[4];
    copy_async_16(shared, from + offset, true);
    commit_copies();
    wait_copies<0>();
    out[0] = shared[0];
}
EXPORT(test_copy_of_unaligned)

// Reads a truth value that nobody has written.
extern "C" __global__ void test_unwritten_truth(unsigned *out, unsigned is_written) {
    __shared__ bool is_true;
    if (is_written && threadIdx.x == 0) {
        is_true = true;
    }
    __syncthreads();
    out[threadIdx.x] = is_true ? 2 : 1;
}
EXPORT(test_unwritten_truth)

// Many shared variables, of which it uses the first ones.
extern "C" __global__ void test_room(unsigned *out, unsigned n_used) {
    __shared__ unsigned values[13000];
    for (unsigned i = threadIdx.x; i < n_used; i += blockDim.x) {
        values[i] = i;
    }
    __syncthreads();
    out[threadIdx.x] = values[(threadIdx.x + 1) % n_used];
}
EXPORT(test_room)

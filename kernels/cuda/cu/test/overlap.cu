// Kernels that might start while earlier ones run.
#include "../common.cuh"

// Reads a word before it awaits them.
extern "C" __global__ void test_read_early(const unsigned *memory, unsigned *out) {
    unsigned value = memory[threadIdx.x];
    await_earlier_launches();
    out[threadIdx.x] = value + 1;
}
EXPORT(test_read_early)

extern "C" __global__ void test_write_early(unsigned *out) {
    out[threadIdx.x] = 1;
    await_earlier_launches();
}
EXPORT(test_write_early)

// One thread does not await them.
extern "C" __global__ void test_one_is_early(unsigned *out, unsigned early) {
    if (threadIdx.x != early) {
        await_earlier_launches();
    }
    out[threadIdx.x] = 1;
}
EXPORT(test_one_is_early)

// Functions of one thread.
#include "../common.cuh"

// All 65536 halves to floats, and floats to halves.
extern "C" __global__ void test_widen(float *f16, float *bf16) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    f16[thread] = f16_to_f32(static_cast<uint16_t>(thread));
    bf16[thread] = bf16_to_f32(static_cast<uint16_t>(thread));
}
EXPORT(test_widen)

// Of floats whose bits are those of the thread's number, shifted, and `low`.
extern "C" __global__ void test_narrow(uint16_t *f16, uint16_t *bf16, unsigned low) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    float value = __uint_as_float((thread << 16) | low);
    f16[thread] = f32_to_f16(value);
    bf16[thread] = f32_to_bf16(value);
}
EXPORT(test_narrow)

// out: [14], of one thread.
extern "C" __global__ void test_bits(unsigned *out, unsigned a, unsigned b) {
    out[0] = static_cast<unsigned>(__dp4a(static_cast<int>(a), static_cast<int>(b), 7));
    out[1] = __byte_perm(a, b, 0x7250);
    out[2] = static_cast<unsigned>(__popc(a));
    out[3] = static_cast<unsigned>(__ffs(static_cast<int>(a)));
    out[4] = static_cast<unsigned>(__clz(static_cast<int>(a)));
    out[5] = __brev(a);
    out[6] = static_cast<unsigned>(__float2int_rn(2.5f));
    out[7] = static_cast<unsigned>(__float2int_rn(-3.5f));
    out[8] = __float_as_uint(rsqrtf(16.0f));
    out[9] = min(a, b);
    out[10] = static_cast<unsigned>(max(-3, static_cast<int>(b & 3u)));
    out[11] = __float_as_uint(fmaxf(__uint_as_float(0x7fc00000u), 2.0f));
    out[12] = __float_as_uint(fminf(3.0f, __uint_as_float(0x7fc00000u)));
    out[13] = __ldg(out);
}
EXPORT(test_bits)

// sum of all threads, and the largest and least; the last is a counter that each thread takes from.
extern "C" __global__ void test_atomics(float *sum, unsigned *count, int *largest, unsigned *seen) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(sum, 0.5f);
    seen[atomicAdd(count, 1u)] = thread;
    atomicMax(largest, static_cast<int>(thread) - 10);
}
EXPORT(test_atomics)

// What lanes do together. Each test is one warp unless it says otherwise.
#include "../common.cuh"

// out: [6][32]
extern "C" __global__ void test_shuffles(unsigned *out) {
    unsigned lane = threadIdx.x;
    unsigned value = 100 + lane;
    out[lane] = __shfl_sync(ALL_LANES, value, lane + 5);
    out[32 + lane] = __shfl_xor_sync(ALL_LANES, value, 9);
    out[64 + lane] = __shfl_up_sync(ALL_LANES, value, 3);
    out[96 + lane] = __shfl_down_sync(ALL_LANES, value, 3);
    out[128 + lane] = __shfl_sync(ALL_LANES, value, 2, 8);
    out[160 + lane] = __shfl_down_sync(ALL_LANES, value, 5, 8);
}
EXPORT(test_shuffles)

// The two halves of a warp go their own ways, and each lane of the upper half adds more often.
extern "C" __global__ void test_halves(const float *values, float *sums) {
    unsigned lane = threadIdx.x;
    unsigned mask = lane < 16 ? 0xffffu : 0xffff0000u;
    float value = values[lane];
    for (unsigned turn = 0; turn < (lane < 16 ? 1u : 3u); turn++) {
        for (unsigned step = 8; step > 0; step /= 2) {
            value += __shfl_xor_sync(mask, value, step);
        }
    }
    __syncwarp();
    sums[lane] = value;
}
EXPORT(test_halves)

// out: [4][32]
extern "C" __global__ void test_votes(const unsigned *values, unsigned *out) {
    unsigned lane = threadIdx.x;
    out[lane] = __ballot_sync(ALL_LANES, values[lane] > 10);
    out[32 + lane] = __any_sync(ALL_LANES, values[lane] == 3);
    out[64 + lane] = __all_sync(ALL_LANES, values[lane] == 3);
    out[96 + lane] = __activemask();
}
EXPORT(test_votes)

// Any number of warps; the sum and the largest of each.
extern "C" __global__ void test_reductions(const float *values, float *sums, float *largest) {
    unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    float sum = warp_sum(values[thread]), most = warp_max(values[thread]);
    if (thread % WARP == 0) {
        sums[thread / WARP] = sum;
        largest[thread / WARP] = most;
    }
}
EXPORT(test_reductions)

// A lane is gone when the others wait for it.
extern "C" __global__ void test_missing_lane(float *out) {
    unsigned lane = threadIdx.x % WARP;
    if (lane == 7) {
        return;
    }
    out[threadIdx.x] = warp_sum(1.0f);
}
EXPORT(test_missing_lane)

// Half of the lanes wait for all at one place, the others at another one.
extern "C" __global__ void test_torn_warp(float *out) {
    if (threadIdx.x < 16) {
        out[threadIdx.x] = __shfl_xor_sync(ALL_LANES, 1.0f, 1);
    } else {
        __syncthreads();
    }
}
EXPORT(test_torn_warp)

extern "C" __global__ void test_different_operations(unsigned *out) {
    if (threadIdx.x < 16) {
        out[threadIdx.x] = __shfl_xor_sync(ALL_LANES, 1u, 1);
    } else {
        out[threadIdx.x] = __ballot_sync(ALL_LANES, true);
    }
}
EXPORT(test_different_operations)

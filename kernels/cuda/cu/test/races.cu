// Accesses that nothing orders.
#include "../common.cuh"

// Threads read what others wrote in shared memory, with a barrier between or none, or a barrier of the
// warp alone.
extern "C" __global__ void test_read_of_others(unsigned *out, unsigned n_ahead, unsigned barrier) {
    __shared__ unsigned values[64];
    unsigned thread = threadIdx.x;
    values[thread] = thread;
    if (barrier == 1) {
        __syncthreads();
    } else if (barrier == 2) {
        __syncwarp();
    } else if (barrier == 3) {
        out[thread] = __shfl_xor_sync(ALL_LANES, thread, 1);
    }
    out[thread] = values[(thread + n_ahead) % blockDim.x];
}
EXPORT(test_read_of_others)

// The same, as a read that may come too late: others write again, `n_ahead` of them.
extern "C" __global__ void test_write_after_read(unsigned *out, unsigned n_ahead, unsigned barrier) {
    __shared__ unsigned values[64];
    unsigned thread = threadIdx.x;
    values[thread] = thread;
    __syncthreads();
    out[thread] = values[(thread + n_ahead) % blockDim.x];
    if (barrier == 1) {
        __syncthreads();
    } else if (barrier == 2) {
        __syncwarp();
    }
    values[thread] = 0;
}
EXPORT(test_write_after_read)

// The first race with accesses that the compiler must leave alone, which are not reported: its outcome
// is left to chance.
extern "C" __global__ void test_unreported(unsigned *out) {
    __shared__ volatile unsigned values[64];
    unsigned thread = threadIdx.x;
    values[thread] = thread;
    out[thread] = values[(thread + 1) % blockDim.x];
}
EXPORT(test_unreported)

// Each block writes where the next one reads, or does not.
extern "C" __global__ void test_blocks(unsigned *values, unsigned *out, unsigned n_ahead) {
    if (threadIdx.x == 0) {
        values[blockIdx.x] = blockIdx.x;
        out[blockIdx.x] = values[(blockIdx.x + n_ahead) % gridDim.x];
    }
}
EXPORT(test_blocks)

// All blocks add to one value; some of them not as they should.
extern "C" __global__ void test_sum(unsigned *sum, unsigned n_careless) {
    if (threadIdx.x == 0) {
        if (blockIdx.x < n_careless) {
            *sum += 1;
        } else {
            atomicAdd(sum, 1u);
        }
    }
}
EXPORT(test_sum)

// Parts of a word belong to different threads, and to different warps.
extern "C" __global__ void test_parts_of_words(uint16_t *halves, uint8_t *bytes) {
    unsigned thread = threadIdx.x;
    for (unsigned turn = 0; turn < 2; turn++) {
        if (thread > 0 && thread < blockDim.x - 1) {
            halves[thread] = static_cast<uint16_t>(halves[thread] + 1);
            bytes[thread] = static_cast<uint8_t>(bytes[thread] + 1);
        }
        __syncwarp();
    }
    __syncthreads();
    if (thread == 0) {
        *reinterpret_cast<unsigned *>(halves) += 1;
    }
}
EXPORT(test_parts_of_words)

// Each block leaves a part; the last one to come adds them.
extern "C" __global__ void test_sum_of_parts(unsigned *parts, unsigned *counter, unsigned *sum) {
    __shared__ bool is_last;
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = blockIdx.x;
        __threadfence();
        is_last = atomicAdd(counter, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last && threadIdx.x == 1) {
        unsigned total = 0;
        for (unsigned i = 0; i < gridDim.x; i++) {
            total += parts[i];
        }
        *sum = total;
        *counter = 0;
    }
}
EXPORT(test_sum_of_parts)

// Each block writes what the next one reads when so many have come.
extern "C" __global__ void test_blocks_that_wait(unsigned *values, unsigned *out, unsigned *n_arrived,
                                                 unsigned n_awaited) {
    __shared__ unsigned own;
    if (threadIdx.x == 0) {
        own = 10 * blockIdx.x;
        values[blockIdx.x] = blockIdx.x;
        __threadfence();
        atomicAdd(n_arrived, 1u);
        emulation::await_blocks(n_arrived, n_awaited);
    }
    __syncthreads();
    if (threadIdx.x == 40) {
        out[blockIdx.x] = own + values[(blockIdx.x + 1) % gridDim.x];
    }
}
EXPORT(test_blocks_that_wait)

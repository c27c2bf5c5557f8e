// The face to Rust (`src/device/emulated`): which kernels there are, and running one. Callers take
// turns: there is one block, or what others have that wait for it.
#include "block.h"
#include "faults.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <vector>

namespace emulation {

unsigned char *dynamic_shared;
unsigned n_dynamic_shared;

namespace {

// Wider than pages of any processor.
constexpr size_t PAGE = 64 * 1024;

const Kernel *first_kernel;

// Behind it nothing is mapped.
unsigned char *end_of_shared() {
    static unsigned char *end = [] {
        size_t n_bytes = (MAX_SHARED / PAGE + 1) * PAGE;
        void *mapped =
            mmap(nullptr, n_bytes + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) {
            perror("emulation: shared memory");
            abort();
        }
        unsigned char *end = static_cast<unsigned char *>(mapped) + n_bytes;
        mprotect(end, PAGE, PROT_NONE);
        return end;
    }();
    return end;
}

void place_threads() {
    unsigned n_threads = blockDim.x * blockDim.y * blockDim.z;
    block.n_warps = (n_threads + LANES - 1) / LANES;
    for (unsigned i = 0; i < n_threads; i++) {
        Thread &thread = block.threads[i];
        thread.number = i;
        thread.warp = i / LANES;
        thread.lane = i % LANES;
        thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y)};
    }
}

void begin_block() {
    unsigned n_threads = blockDim.x * blockDim.y * blockDim.z;
    block.n_alive = n_threads;
    block.n_waiting = block.n_barriers = 0;
    block.sleeper = nullptr;
    block.waits_in_vain = false;
    for (unsigned i = 0; i < block.n_warps; i++) {
        unsigned n_lanes = n_threads - i * LANES;
        Warp &warp = block.warps[i];
        warp.alive = n_lanes >= LANES ? ~0u : (1u << n_lanes) - 1;
        warp.unstarted = warp.alive;
        warp.ready = warp.waiting = warp.asleep = warp.n_gatherings = warp.n_barriers = 0;
    }
    block.busy = block.n_warps == LANES ? ~0u : (1u << block.n_warps) - 1;
    const Kernel &kernel = *block.kernel;
    memset(kernel.shared_begin, 0xff, static_cast<size_t>(kernel.shared_end - kernel.shared_begin));
    memset(dynamic_shared, 0xff, n_dynamic_shared);
    begin_block_of_accesses();
    forget_barriers();
    forget_tiles();
    forget_products();
}

// What a block has that waits for others, while these run.
struct Waiting {
    Block own;
    uint3 index;
    std::vector<unsigned char> file, launch;

    Waiting()
        : own(block), index(blockIdx), file(block.kernel->shared_begin, block.kernel->shared_end),
          launch(dynamic_shared, dynamic_shared + n_dynamic_shared) {}

    bool is_due() const { return *own.awaited_count >= own.awaited; }

    void go_on() const {
        block = own;
        blockIdx = index;
        std::copy(file.begin(), file.end(), block.kernel->shared_begin);
        std::copy(launch.begin(), launch.end(), dynamic_shared);
    }
};

// Runs the block at hand, and keeps what it has where it waits. Returns whether nothing has failed.
bool run_or_keep(std::vector<Waiting> &waiting) {
    Outcome outcome = run_block();
    if (outcome == Outcome::waits) {
        waiting.emplace_back();
    }
    return outcome != Outcome::failed;
}

// Runs blocks that wait, each as soon as it may.
bool run_waiting(std::vector<Waiting> waiting) {
    while (!waiting.empty()) {
        size_t n = waiting.size(), at = any_lane() % n, n_tried = 0;
        while (!waiting[at].is_due()) {
            at = (at + 1) % n;
            if (++n_tried == n) {
                // Nobody will be.
                waiting[at].own.waits_in_vain = true;
                break;
            }
        }
        waiting[at].go_on();
        waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(at));
        if (!run_or_keep(waiting)) {
            return false;
        }
    }
    return true;
}

bool run_blocks() {
    std::vector<Waiting> waiting;
    uint64_t n_blocks = static_cast<uint64_t>(gridDim.x) * gridDim.y * gridDim.z;
    // Neighbours follow each other, from some block on, in one of the two directions.
    uint64_t first = (any_lane() * n_blocks) / LANES;
    bool is_backwards = any_lane() % 2 == 1;
    for (uint64_t i = 0; i < n_blocks; i++) {
        uint64_t at = (first + (is_backwards ? n_blocks - i : i)) % n_blocks;
        blockIdx = {static_cast<unsigned>(at % gridDim.x),
                    static_cast<unsigned>(at / gridDim.x % gridDim.y),
                    static_cast<unsigned>(at / gridDim.x / gridDim.y)};
        begin_block();
        if (!run_or_keep(waiting)) {
            return false;
        }
    }
    return run_waiting(std::move(waiting));
}

} // namespace

Registration::Registration(const char *name, Description description, unsigned char *begin,
                           unsigned char *end)
    : Kernel{name, description, begin, end, first_kernel} {
    first_kernel = this;
}

bool is_shared(const void *address, size_t n_bytes) {
    const unsigned char *byte = static_cast<const unsigned char *>(address);
    const Kernel &kernel = *block.kernel;
    return (byte >= dynamic_shared && byte + n_bytes <= end_of_shared()) ||
           (byte >= kernel.shared_begin && byte + n_bytes <= kernel.shared_end);
}

namespace {

// As many as descriptors of tiles can name.
constexpr uintptr_t SHARED_ADDRESSES = 256 * 1024;

uintptr_t first_shared_address() { return reinterpret_cast<uintptr_t>(end_of_shared()) - SHARED_ADDRESSES; }

} // namespace

unsigned shared_address_of(const void *shared) {
    uintptr_t address = reinterpret_cast<uintptr_t>(shared) - first_shared_address();
    if (shared < dynamic_shared || address >= SHARED_ADDRESSES) {
        fail("%p is not in the shared memory that the launch gives", shared);
    }
    return static_cast<unsigned>(address);
}

const void *at_shared_address(unsigned address) {
    return reinterpret_cast<const void *>(first_shared_address() + address);
}

extern "C" const Kernel *ponder_emulation_first_kernel() { return first_kernel; }

// Null, or why it failed. Sizes were checked.
extern "C" const char *ponder_emulation_launch(const Kernel *kernel, const unsigned *grid,
                                               const unsigned *threads, unsigned n_shared,
                                               void *const *arguments, uint64_t order) {
    catch_faults();
    seed(order);
    block.kernel = kernel;
    block.arguments = arguments;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    dynamic_shared = end_of_shared() - (n_shared + 15) / 16 * 16;
    n_dynamic_shared = n_shared;
    place_threads();
    begin_launch_of_accesses();
    return run_blocks() ? nullptr : message();
}

} // namespace emulation

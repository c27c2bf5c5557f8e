// The block that runs: its threads, and what they wait for.
#pragma once

#include "../emulation.h"
#include "accesses.h"
#include "fibre.h"

namespace emulation {

constexpr unsigned LANES = 32;

// The most shared memory of a block, on the devices that have least, and of its variables.
constexpr size_t MAX_SHARED = 99 * 1024, MAX_STATIC_SHARED = 48 * 1024;

struct Thread {
    void *stack_pointer;
    unsigned stack, number, warp, lane;
    uint3 index;
    // How often its writes were shown to copies and products.
    unsigned n_shown;
    // Where it waits.
    Site site;
    unsigned mask;
    // Whether it has awaited earlier launches, and where it touched what these may work on before.
    bool has_awaited;
    const void *untimely;
};

// Lanes that wait for each other.
struct Gathering {
    unsigned mask, arrived;
    Operation operation;
};

// Lanes of a warp, a bit each. Those that wait are in none but `alive`.
struct Warp {
    unsigned alive, unstarted, ready;
    // At the block's barrier, and until they are woken.
    unsigned waiting, asleep;
    // How often `__syncwarp` has ordered its accesses.
    unsigned n_barriers;
    unsigned n_gatherings;
    Gathering gatherings[LANES];
    void *operands[LANES];
};

struct Block {
    const Kernel *kernel;
    void *const *arguments;
    // Warps that may have threads to run, a bit each.
    unsigned busy;
    unsigned n_warps, n_alive, n_waiting;
    // How often `__syncthreads` has ordered its accesses, and where those stand that wait.
    unsigned n_barriers;
    Site barrier;
    // Who waits for other blocks, and for what; null where nobody does. Whether they wait for this one, too.
    Thread *sleeper;
    const unsigned *awaited_count;
    unsigned awaited;
    bool waits_in_vain;
    // Whether it has seen something atomic that other blocks may have done.
    bool has_acquired;
    Thread threads[MAX_THREADS];
    Warp warps[MAX_THREADS / LANES];
};

extern Block block;
// Null where none runs.
extern Thread *running;

// A number below 32.
unsigned any_lane();
// From now on they are those of `value`.
void seed(uint64_t value);

enum class Outcome { ended, failed, waits };

// Runs the threads until all have ended, one has failed, or one waits for other blocks.
Outcome run_block();

// Lets others run until `wake` is called for the thread that runs.
void suspend_until_woken(Site site);
void wake(Thread &thread);

// Ends the launch. `message` is kept for it.
[[noreturn]] void leave();
const char *message();

// What each thread waits for, until the next call.
const char *describe_waiting();

// Copies of a thread that begins are none.
void forget_copies(Thread &thread);

bool is_shared(const void *address, size_t n_bytes);

// What a number that stands for an address in the block's own memory stands for.
const void *at_shared_address(unsigned address);

// Where a chunk of 16 bytes lies in a pattern of 128, 64 or 32 bytes (16: in none).
uintptr_t swizzled(uintptr_t address, unsigned pattern);

// Carries out a copy that is under way; false where there is none.
bool deliver_a_tile();
// Fails where there is one.
void check_no_tiles();

// Before each block.
void forget_barriers();
void forget_tiles();
void forget_products();

} // namespace emulation

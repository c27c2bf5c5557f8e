// Barriers, and what the lanes of a warp do together.
//
// A collective waits until each lane of its mask has called it. The last one carries it out for all:
// every lane hands over a pointer to its operands, which lie on its own stack, and finds its result
// there.
#pragma once

// Where a call stands in the source. Parameters, because such defaults are taken where the call is.
#define EMULATION_CALLER const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()

namespace emulation {

struct Site {
    const char *what, *file;
    unsigned line;
};

inline bool is_same(const Site &one, const Site &other) {
    return one.line == other.line && (one.file == other.file || strcmp(one.file, other.file) == 0);
}

// `operands[lane]` of each lane of the mask.
using Operation = void (*)(void *const *operands, unsigned mask);

// Waits for all threads of the block that have not ended.
void wait_for_block(Site site);

// Waits for the lanes of the mask; the same operation is called by all of them.
void gather(unsigned mask, Operation operation, void *operands, Site site);

unsigned lane_of_caller();

// See `overlap.h`. Where a kernel does one operation after the other, each begins as a launch does.
void await_launches();
void begin_operation();

// For one thread of a block, while the others wait for it: lets other blocks run until the count is so
// high. What they did before is then known.
void await_blocks(const unsigned *count, unsigned n);

// Unlike what follows.
void order_memory(void *const *operands, unsigned mask);

// The value of lane `source`; undefined (ones) where the mask does not name it.
struct Exchange {
    uint64_t value;
    unsigned source;
    uint64_t result;
};
void exchange(void *const *operands, unsigned mask);

struct Vote {
    bool is_for;
    unsigned result;
};
void vote(void *const *operands, unsigned mask);

template <typename T> T exchange_lanes(unsigned mask, T value, unsigned source, Site site) {
    static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "a number");
    Exchange operands = {0, source, ~uint64_t(0)};
    memcpy(&operands.value, &value, sizeof value);
    gather(mask, exchange, &operands, site);
    memcpy(&value, &operands.result, sizeof value);
    return value;
}

inline unsigned vote_of_lanes(unsigned mask, bool is_for, Site site) {
    Vote operands = {is_for, 0};
    gather(mask, vote, &operands, site);
    return operands.result;
}

// Lanes are exchanged among as many as `width` says, a power of two.
inline unsigned first_of(unsigned lane, unsigned width) { return lane & ~(width - 1); }

} // namespace emulation

inline void await_earlier_launches() { emulation::await_launches(); }

inline void __syncthreads(EMULATION_CALLER) { emulation::wait_for_block({"__syncthreads", file, line}); }

inline void __syncwarp(unsigned mask = 0xffffffffu, EMULATION_CALLER) {
    emulation::gather(mask, emulation::order_memory, nullptr, {"__syncwarp", file, line});
}

template <typename T>
T __shfl_sync(unsigned mask, T value, unsigned source, unsigned width = 32, EMULATION_CALLER) {
    unsigned first = emulation::first_of(emulation::lane_of_caller(), width);
    return emulation::exchange_lanes(mask, value, first + (source & (width - 1)),
                                     {"__shfl_sync", file, line});
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, unsigned bits, unsigned width = 32, EMULATION_CALLER) {
    unsigned lane = emulation::lane_of_caller(), source = lane ^ bits;
    bool is_there = source < emulation::first_of(lane, width) + width;
    return emulation::exchange_lanes(mask, value, is_there ? source : lane, {"__shfl_xor_sync", file, line});
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, unsigned width = 32, EMULATION_CALLER) {
    unsigned lane = emulation::lane_of_caller();
    bool is_there = lane >= emulation::first_of(lane, width) + distance;
    return emulation::exchange_lanes(mask, value, is_there ? lane - distance : lane,
                                     {"__shfl_up_sync", file, line});
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, unsigned width = 32, EMULATION_CALLER) {
    unsigned lane = emulation::lane_of_caller();
    bool is_there = lane + distance < emulation::first_of(lane, width) + width;
    return emulation::exchange_lanes(mask, value, is_there ? lane + distance : lane,
                                     {"__shfl_down_sync", file, line});
}

inline unsigned __ballot_sync(unsigned mask, bool is_for, EMULATION_CALLER) {
    return emulation::vote_of_lanes(mask, is_for, {"__ballot_sync", file, line});
}
inline bool __any_sync(unsigned mask, bool is_for, EMULATION_CALLER) {
    return emulation::vote_of_lanes(mask, is_for, {"__any_sync", file, line}) != 0;
}
inline bool __all_sync(unsigned mask, bool is_for, EMULATION_CALLER) {
    return emulation::vote_of_lanes(mask, is_for, {"__all_sync", file, line}) == mask;
}

// A device may run each lane on its own, and so does this.
inline unsigned __activemask() { return 1u << emulation::lane_of_caller(); }

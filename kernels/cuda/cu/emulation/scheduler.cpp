// Who runs next. A thread runs until it waits or ends, then goes straight to another one: of its own
// warp if there is one, else of any. Which of them is drawn anew each time, so that what a missing
// barrier leaves to chance happens in some order.
#include "accesses.h"
#include "block.h"
#include "overlap.h"
#include "places.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

Block block;
Thread *running;

namespace {

uint64_t chance;
void *outside;
char text[4096];
bool has_failed;

unsigned one_of(unsigned mask) {
    unsigned turn = any_lane();
    unsigned turned = (mask >> turn) | (mask << ((LANES - turn) & (LANES - 1)));
    return (static_cast<unsigned>(__builtin_ctz(turned)) + turn) & (LANES - 1);
}

void run_thread();

// Takes the next thread off the lists; null where none can run.
Thread *next() {
    unsigned number = running ? running->warp : 0;
    for (;;) {
        Warp &warp = block.warps[number];
        unsigned runnable = warp.unstarted | warp.ready;
        if (runnable != 0) {
            unsigned lane = one_of(runnable);
            warp.ready &= ~(1u << lane);
            return &block.threads[number * LANES + lane];
        }
        block.busy &= ~(1u << number);
        while (block.busy == 0) {
            if (!deliver_a_tile()) {
                return nullptr;
            }
        }
        number = one_of(block.busy);
    }
}

Thread *next_or_fail() {
    Thread *thread = next();
    if (thread == nullptr) {
        fail("nobody can go on: %s", describe_waiting());
    }
    return thread;
}

bool is_unstarted(const Thread &thread) {
    return (block.warps[thread.warp].unstarted >> thread.lane) & 1u;
}

void start(Thread &thread, unsigned stack) {
    block.warps[thread.warp].unstarted &= ~(1u << thread.lane);
    thread.stack = stack;
    thread.has_awaited = false;
    thread.untimely = nullptr;
    thread.n_shown = 0;
    forget_copies(thread);
}

// Where to go so that the thread goes on, or begins.
void *place_of(Thread &thread) {
    if (is_unstarted(thread)) {
        start(thread, take_stack());
        thread.stack_pointer = prepare_stack(thread.stack, run_thread);
    }
    return thread.stack_pointer;
}

// Lets others run until somebody makes this one ready.
void suspend(Thread &self) {
    Thread *other = block.sleeper != nullptr ? next() : next_or_fail();
    if (other == nullptr) {
        ponder_emulation_switch(&self.stack_pointer, outside);
    } else if (other != &self) {
        void *place = place_of(*other);
        running = other;
        ponder_emulation_switch(&self.stack_pointer, place);
    }
    threadIdx = self.index;
}

void open_barrier() {
    for (unsigned i = 0; i < block.n_warps; i++) {
        block.warps[i].ready |= block.warps[i].waiting;
        block.warps[i].waiting = 0;
    }
    block.busy = block.n_warps == 32 ? ~0u : (1u << block.n_warps) - 1;
    block.n_waiting = 0;
    block.n_barriers++;
}

void end(Thread &self) {
    Warp &warp = block.warps[self.warp];
    unsigned bit = 1u << self.lane;
    check_end(self);
    warp.alive &= ~bit;
    block.n_alive--;
    for (unsigned i = 0; i < warp.n_gatherings; i++) {
        if ((warp.gatherings[i].mask & bit) != 0) {
            fail("it ended while others wait for it: %s", describe_waiting());
        }
    }
    if (block.n_alive > 0 && block.n_waiting == block.n_alive) {
        open_barrier();
    }
}

// Runs one thread after the other on the same stack, as long as there are some that have not begun.
void run_thread() {
    for (;;) {
        Thread &self = *running;
        threadIdx = self.index;
        block.kernel->description.invoke(block.arguments);
        end(self);
        if (block.n_alive == 0) {
            check_no_tiles();
            give_stack(self.stack);
            leave();
        }
        Thread *other = next_or_fail();
        running = other;
        if (is_unstarted(*other)) {
            start(*other, self.stack);
        } else {
            give_stack(self.stack);
            void *nowhere;
            ponder_emulation_switch(&nowhere, other->stack_pointer);
        }
    }
}

} // namespace

void seed(uint64_t value) { chance = value; }

unsigned any_lane() {
    chance = chance * 6364136223846793005u + 1442695040888963407u;
    return static_cast<unsigned>(chance >> 59);
}

Outcome run_block() {
    has_failed = false;
    if (block.sleeper != nullptr) {
        wake(*block.sleeper);
        block.sleeper = nullptr;
    }
    Thread *first = next();
    void *place = place_of(*first);
    running = first;
    ponder_emulation_switch(&outside, place);
    running = nullptr;
    if (has_failed) {
        // Those who wait are given up where they stand.
        give_all_stacks();
        write_mentions(text, sizeof text);
        return Outcome::failed;
    }
    return block.sleeper != nullptr ? Outcome::waits : Outcome::ended;
}

void leave() {
    void *nowhere;
    ponder_emulation_switch(&nowhere, outside);
    abort();
}

const char *message() { return text; }

void fail(const char *format, ...) {
    size_t length = 0;
    if (running != nullptr) {
        length = static_cast<size_t>(
            snprintf(text, sizeof text, "block (%u, %u, %u), thread (%u, %u, %u): ", blockIdx.x,
                     blockIdx.y, blockIdx.z, running->index.x, running->index.y, running->index.z));
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - length, format, arguments);
    va_end(arguments);
    if (running == nullptr) {
        fprintf(stderr, "emulation: %s\n", text);
        abort();
    }
    has_failed = true;
    leave();
}

void wait_for_block(Site site) {
    Thread &self = *running;
    Warp &warp = block.warps[self.warp];
    if (block.n_waiting > 0 && !is_same(block.barrier, site)) {
        fail("__syncthreads at %s:%u, while others wait at %s:%u", site.file, site.line,
             block.barrier.file, block.barrier.line);
    }
    block.barrier = site;
    self.site = site;
    warp.waiting |= 1u << self.lane;
    block.n_waiting++;
    if (block.n_waiting == block.n_alive) {
        open_barrier();
    }
    suspend(self);
}

void suspend_until_woken(Site site) {
    Thread &self = *running;
    self.site = site;
    block.warps[self.warp].asleep |= 1u << self.lane;
    suspend(self);
}

void await_blocks(const unsigned *count, unsigned n) {
    while (*count < n) {
        block.sleeper = running;
        block.awaited_count = count;
        block.awaited = n;
        suspend_until_woken({"waiting for other blocks", "", 0});
        if (block.waits_in_vain) {
            fail("waiting for %u arrivals in vain: there are %u", n, *count);
        }
    }
    go_on_with_accesses(n);
}

void wake(Thread &thread) {
    Warp &warp = block.warps[thread.warp];
    warp.asleep &= ~(1u << thread.lane);
    warp.ready |= 1u << thread.lane;
    block.busy |= 1u << thread.warp;
}

void gather(unsigned mask, Operation operation, void *operands, Site site) {
    Thread &self = *running;
    Warp &warp = block.warps[self.warp];
    unsigned bit = 1u << self.lane;
    if ((mask & bit) == 0) {
        fail("%s at %s:%u with mask %#x, which lacks lane %u", site.what, site.file, site.line, mask,
             self.lane);
    }
    if ((mask & ~warp.alive) != 0) {
        fail("%s at %s:%u with mask %#x: lanes %#x are not there or have ended", site.what, site.file,
             site.line, mask, mask & ~warp.alive);
    }
    self.site = site;
    self.mask = mask;
    warp.operands[self.lane] = operands;
    unsigned i = 0;
    while (i < warp.n_gatherings && warp.gatherings[i].mask != mask) {
        i++;
    }
    Gathering &gathering = warp.gatherings[i];
    if (i == warp.n_gatherings) {
        gathering = {mask, 0, operation};
        warp.n_gatherings++;
    }
    if (gathering.operation != operation) {
        fail("%s at %s:%u, while others are elsewhere: %s", site.what, site.file, site.line,
             describe_waiting());
    }
    gathering.arrived |= bit;
    if (gathering.arrived == mask) {
        gathering = warp.gatherings[--warp.n_gatherings];
        warp.ready |= mask & ~bit;
        operation(warp.operands, mask);
        return;
    }
    suspend(self);
}

} // namespace emulation

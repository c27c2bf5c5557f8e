// Barriers in shared memory that threads and copies arrive at (mbarrier). A phase is over when as many
// threads have arrived as the barrier was made for, and all bytes that they expect have come; then the
// next one begins, of the other parity.
//
// Such barriers order no plain accesses here: what threads hand to each other by them is found to race,
// but for what copies bring and products read.
#include "arrivals.h"

#include "accesses.h"
#include "block.h"

#include <vector>

namespace emulation {
namespace {

struct Barrier {
    uint64_t *place;
    unsigned n_arrivals, n_missing, parity;
    // That are expected and have not come; below zero where they came first.
    int64_t n_bytes;
    const Thread *maker;
    bool is_published;
};

struct Waiting {
    Thread *thread;
    const uint64_t *barrier;
};

// Of the block that runs.
std::vector<Barrier> barriers;
std::vector<Waiting> waiting;

Barrier &find(const uint64_t *place) {
    for (Barrier &barrier : barriers) {
        if (barrier.place == place) {
            return barrier;
        }
    }
    fail("%p is no barrier", static_cast<const void *>(place));
}

void end_phase_if_over(Barrier &barrier) {
    if (barrier.n_missing > 0 || barrier.n_bytes != 0) {
        return;
    }
    barrier.parity ^= 1;
    barrier.n_missing = barrier.n_arrivals;
    for (size_t i = waiting.size(); i > 0; i--) {
        if (waiting[i - 1].barrier == barrier.place) {
            wake(*waiting[i - 1].thread);
            waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(i - 1));
        }
    }
}

} // namespace

void forget_barriers() {
    barriers.clear();
    waiting.clear();
}

void bytes_come(const uint64_t *place, size_t n_bytes) {
    Barrier &barrier = find(place);
    barrier.n_bytes -= static_cast<int64_t>(n_bytes);
    end_phase_if_over(barrier);
}

void check_published(const uint64_t *place) {
    if (!find(place).is_published) {
        fail("a copy arrives at a barrier that was not published");
    }
}

void make_barrier(uint64_t *place, unsigned n_arrivals) {
    if (reinterpret_cast<uintptr_t>(place) % 8 != 0 || !is_shared(place, 8) || n_arrivals == 0) {
        fail("a barrier of %u arrivals at %p", n_arrivals, static_cast<void *>(place));
    }
    note(place, 8, Access::write, __builtin_return_address(0));
    for (const Barrier &barrier : barriers) {
        if (barrier.place == place) {
            fail("there is a barrier already");
        }
    }
    barriers.push_back({place, n_arrivals, n_arrivals, 0, 0, running, false});
}

void publish() {
    for (Barrier &barrier : barriers) {
        barrier.is_published |= barrier.maker == running;
    }
}

void arrive_at(uint64_t *place, unsigned n_bytes) {
    note(place, 8, Access::atomic, __builtin_return_address(0));
    Barrier &barrier = find(place);
    if (barrier.n_missing == 0) {
        fail("more arrivals at a barrier than the %u that it was made for", barrier.n_arrivals);
    }
    barrier.n_missing--;
    barrier.n_bytes += n_bytes;
    end_phase_if_over(barrier);
}

void wait_at(uint64_t *place, unsigned parity, Site site) {
    note(place, 8, Access::atomic, __builtin_return_address(0));
    if (parity > 1) {
        fail("a phase of parity %u", parity);
    }
    if (find(place).parity == parity) {
        waiting.push_back({running, place});
        suspend_until_woken(site);
    }
}

} // namespace emulation

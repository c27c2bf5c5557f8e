// Asynchronous copies: in groups, in order, carried out by the wait that says that they are there.
#include "block.h"

#include <vector>

namespace emulation {
namespace {

struct Copy {
    void *to;
    const void *from;
    bool is_there;
    // Of the call.
    const void *place;
};

struct Copies {
    std::vector<Copy> queue;
    // How many copies are in each group that is under way, the first one first.
    std::vector<size_t> groups;
    size_t n_uncommitted = 0;
};

Copies &of(const Thread &thread) {
    static std::vector<Copies> all(MAX_THREADS);
    return all[thread.number];
}

void deliver(const Copy &copy) {
    note(copy.to, 16, Access::write, copy.place);
    if (copy.is_there) {
        memcpy(copy.to, copy.from, 16);
    } else {
        memset(copy.to, 0, 16);
    }
}

} // namespace

void forget_copies(Thread &thread) {
    Copies &copies = of(thread);
    copies.queue.clear();
    copies.groups.clear();
    copies.n_uncommitted = 0;
}

void copy(void *shared, const void *global, bool is_there) {
    if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 || !is_shared(shared, 16)) {
        fail("copy_async_16 to %p, which is not shared memory aligned to 16", shared);
    }
    if (is_there && (reinterpret_cast<uintptr_t>(global) % 16 != 0 || is_shared(global, 16))) {
        fail("copy_async_16 from %p, which is not global memory aligned to 16", global);
    }
    const void *place = __builtin_return_address(0);
    note(shared, 16, Access::write, place);
    if (is_there) {
        note(global, 16, Access::read, place);
    }
    // It may happen at once: then what was there is lost, and what comes is not to be read yet.
    memset(shared, 0xff, 16);
    Copies &copies = of(*running);
    copies.queue.push_back({shared, global, is_there, place});
    copies.n_uncommitted++;
}

void commit() {
    Copies &copies = of(*running);
    copies.groups.push_back(copies.n_uncommitted);
    copies.n_uncommitted = 0;
}

void wait(unsigned n_groups) {
    Copies &copies = of(*running);
    if (copies.groups.size() <= n_groups) {
        return;
    }
    size_t n_done = copies.groups.size() - n_groups, n_delivered = 0;
    for (size_t group = 0; group < n_done; group++) {
        for (size_t i = 0; i < copies.groups[group]; i++) {
            deliver(copies.queue[n_delivered++]);
        }
    }
    copies.groups.erase(copies.groups.begin(), copies.groups.begin() + static_cast<ptrdiff_t>(n_done));
    copies.queue.erase(copies.queue.begin(), copies.queue.begin() + static_cast<ptrdiff_t>(n_delivered));
}

} // namespace emulation

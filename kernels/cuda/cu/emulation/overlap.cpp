// What threads touch before they have awaited earlier launches. Only kernels in which some thread awaits
// them are held to the rule: the others are never started early.
#include "overlap.h"

#include "places.h"

namespace emulation {
namespace {

// Of the launch: whether a thread has awaited, and where one that never did touched what it must not.
bool has_awaited;
const void *untimely;

[[noreturn]] void refuse(const void *place) {
    mention("there", place);
    fail("memory that kernels write is touched before earlier launches are awaited");
}

} // namespace

void check_time(const Region &region, Access access, const void *place) {
    bool writes = access == Access::write || access == Access::atomic;
    if (!running->has_awaited && running->untimely == nullptr && (writes || region.is_written)) {
        running->untimely = place;
    }
    region.is_written |= writes;
}

void await_launches() {
    has_awaited = true;
    running->has_awaited = true;
    const void *early = running->untimely != nullptr ? running->untimely : untimely;
    if (early != nullptr) {
        refuse(early);
    }
}

void begin_operation() {
    running->has_awaited = false;
    running->untimely = nullptr;
}

void check_end(const Thread &thread) {
    if (thread.has_awaited || thread.untimely == nullptr) {
        return;
    }
    untimely = thread.untimely;
    if (has_awaited) {
        refuse(untimely);
    }
}

void begin_launch_of_overlap() {
    has_awaited = false;
    untimely = nullptr;
}

} // namespace emulation

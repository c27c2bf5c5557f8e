// Addresses where nothing is mapped end a launch with a message. The signal's handler does nothing
// but change where the thread goes on: on a stack of its own, because a full stack may be the reason.
#include "faults.h"

#include "block.h"
#include "places.h"

#include <csignal>
#include <pthread.h>
#include <ucontext.h>

namespace emulation {
namespace {

constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

alignas(64) unsigned char stack[64 * 1024];
struct sigaction former[64];
pthread_t owner;
const void *address, *place;
int signal_number;

void report() {
    mention("here", place);
    switch (signal_number) {
    case SIGSEGV:
    case SIGBUS:
        if (is_guard_of_stacks(address)) {
            fail("its stack is full");
        }
        if (const Region *region = region_near(address)) {
            mention(*region, address);
        }
        fail("access to %p, where there is no memory, or which is not aligned", address);
    case SIGFPE:
        fail("division by zero");
    default:
        fail("signal %d", signal_number);
    }
}

// The instruction, as if something were called there.
const void *place_of(const ucontext_t &context) {
#if defined(__x86_64__)
    return reinterpret_cast<const void *>(context.uc_mcontext.gregs[REG_RIP] + 1);
#else
    return reinterpret_cast<const void *>(context.uc_mcontext.pc + 1);
#endif
}

void go_elsewhere(ucontext_t &context, void (*where)()) {
    uintptr_t end = reinterpret_cast<uintptr_t>(stack + sizeof stack);
#if defined(__x86_64__)
    context.uc_mcontext.gregs[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(where));
    context.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(end - 8);
#else
    context.uc_mcontext.pc = reinterpret_cast<uintptr_t>(where);
    context.uc_mcontext.sp = end;
#endif
}

void handle(int number, siginfo_t *information, void *context) {
    if (running == nullptr || !pthread_equal(owner, pthread_self())) {
        // Not ours: it happens again when this returns, to whom it happened before.
        sigaction(number, &former[number], nullptr);
        return;
    }
    address = information->si_addr;
    signal_number = number;
    place = place_of(*static_cast<ucontext_t *>(context));
    go_elsewhere(*static_cast<ucontext_t *>(context), report);
}

} // namespace

void catch_faults() {
    static bool is_done = [] {
        for (int number : SIGNALS) {
            struct sigaction action = {};
            action.sa_sigaction = handle;
            action.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigaction(number, &action, &former[number]);
        }
        return true;
    }();
    static_cast<void>(is_done);
    owner = pthread_self();
}

} // namespace emulation

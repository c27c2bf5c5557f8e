// Atomic operations: plain ones, because one thread runs at a time.
#include "block.h"

namespace emulation {
namespace {

template <typename T> T replace(T *address, T value, const void *place) {
    if (reinterpret_cast<uintptr_t>(address) % sizeof(T) != 0) {
        fail("an atomic operation on %p, which is not aligned to %zu", address, sizeof(T));
    }
    note(address, sizeof(T), Access::atomic, place);
    T old = *address;
    *address = value;
    return old;
}

} // namespace
} // namespace emulation

#define EMULATION_DEFINED(name, type, expression)                                                  \
    type name(type *address, [[maybe_unused]] type value) {                                        \
        [[maybe_unused]] type old = *address;                                                      \
        return emulation::replace<type>(address, expression, __builtin_return_address(0));         \
    }
EMULATION_ATOMICS(EMULATION_DEFINED)

unsigned atomicCAS(unsigned *address, unsigned expected, unsigned value) {
    value = *address == expected ? value : *address;
    return emulation::replace(address, value, __builtin_return_address(0));
}

unsigned long long atomicCAS(unsigned long long *address, unsigned long long expected,
                             unsigned long long value) {
    value = *address == expected ? value : *address;
    return emulation::replace(address, value, __builtin_return_address(0));
}

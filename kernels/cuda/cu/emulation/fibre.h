// Stacks, and going from one to another.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

constexpr unsigned MAX_THREADS = 1024;

// Goes to the fibre that left its stack at `to`, and leaves this one at `from`.
extern "C" void ponder_emulation_switch(void **from, void *to);

// A stack that nobody uses, and its number.
unsigned take_stack();
void give_stack(unsigned stack);
void give_all_stacks();

// Where a switch goes to call `entry` on that stack, which must not return.
void *prepare_stack(unsigned stack, void (*entry)());

constexpr size_t STACK_BYTES = 64 * 1024;
extern uintptr_t first_stack;

inline bool is_in_stacks(const void *address) {
    return reinterpret_cast<uintptr_t>(address) - first_stack < MAX_THREADS * STACK_BYTES;
}

// Whether this is the address of a guard between stacks.
bool is_guard_of_stacks(const void *address);

} // namespace emulation

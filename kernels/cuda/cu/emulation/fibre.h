// Stacks, and going from one to another.
#pragma once

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

// Whether this is the address of a guard between stacks.
bool is_guard_of_stacks(const void *address);

} // namespace emulation

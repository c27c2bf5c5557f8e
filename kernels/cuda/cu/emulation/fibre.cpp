// A switch stores the registers that a function must keep on the stack, and takes those that lie on
// the other one. What the C library has for this asks the kernel for the mask of signals each time.
#include "fibre.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

#if defined(__x86_64__)
asm(R"(
    .text
    .globl ponder_emulation_switch
    .type ponder_emulation_switch, @function
ponder_emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size ponder_emulation_switch, . - ponder_emulation_switch
)");
#elif defined(__aarch64__)
asm(R"(
    .text
    .globl ponder_emulation_switch
    .type ponder_emulation_switch, %function
ponder_emulation_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
    .size ponder_emulation_switch, . - ponder_emulation_switch
)");
#else
#error "kernels are emulated on x86-64 and aarch64"
#endif

namespace emulation {

uintptr_t first_stack;

namespace {

constexpr size_t GUARD_BYTES = 4096;

struct Stacks {
    unsigned free[MAX_THREADS], n_free = 0;

    Stacks() {
        void *mapped = mmap(nullptr, MAX_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) {
            perror("emulation: stacks");
            abort();
        }
        first_stack = reinterpret_cast<uintptr_t>(mapped);
        for (unsigned i = 0; i < MAX_THREADS; i++) {
            // A page of another size than 4096 is larger: then stacks go without guards.
            mprotect(static_cast<unsigned char *>(mapped) + i * STACK_BYTES, GUARD_BYTES, PROT_NONE);
        }
        give_all();
    }

    void give_all() {
        n_free = 0;
        for (unsigned i = MAX_THREADS; i > 0; i--) {
            free[n_free++] = i - 1;
        }
    }
};

Stacks &stacks() {
    static Stacks all;
    return all;
}

} // namespace

unsigned take_stack() {
    Stacks &all = stacks();
    return all.free[--all.n_free];
}

void give_stack(unsigned stack) {
    Stacks &all = stacks();
    all.free[all.n_free++] = stack;
}

void give_all_stacks() { stacks().give_all(); }

void *prepare_stack(unsigned stack, void (*entry)()) {
    // Stacks whose ends are apart by a power of two would all lie in the same few lines of a cache.
    size_t shift = (stack * 704) % 8192;
    uintptr_t end = first_stack + (stack + 1) * STACK_BYTES - shift;
    end &= ~uintptr_t(63);
#if defined(__x86_64__)
    // Six registers, and where `ret` goes; behind it the stack is aligned as behind a call.
    uintptr_t *top = reinterpret_cast<uintptr_t *>(end) - 8;
    for (unsigned i = 0; i < 8; i++) {
        top[i] = 0;
    }
    top[6] = reinterpret_cast<uintptr_t>(entry);
#else
    uintptr_t *top = reinterpret_cast<uintptr_t *>(end) - 20;
    for (unsigned i = 0; i < 20; i++) {
        top[i] = 0;
    }
    top[11] = reinterpret_cast<uintptr_t>(entry);
#endif
    return top;
}

bool is_guard_of_stacks(const void *address) {
    return is_in_stacks(address) &&
           (reinterpret_cast<uintptr_t>(address) - first_stack) % STACK_BYTES < GUARD_BYTES;
}

} // namespace emulation

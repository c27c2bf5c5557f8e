// Memory that threads share. One thread runs at a time, so that plain operations are atomic.
#pragma once

namespace emulation {
// What the launch gives the block that runs.
extern unsigned char *dynamic_shared;
extern unsigned n_dynamic_shared;
} // namespace emulation

template <typename T> inline T __ldg(const T *address) { return *address; }
template <typename T> inline T __ldcs(const T *address) { return *address; }
template <typename T> inline T __ldcg(const T *address) { return *address; }
template <typename T> inline void __stcs(T *address, T value) { *address = value; }
template <typename T> inline void __stcg(T *address, T value) { *address = value; }

inline void __threadfence() {}
inline void __threadfence_block() {}

// Each returns the old value.
#define EMULATION_ATOMICS(ATOMIC)                                                                  \
    ATOMIC(atomicAdd, int, old + value)                                                            \
    ATOMIC(atomicAdd, unsigned, old + value)                                                       \
    ATOMIC(atomicAdd, unsigned long long, old + value)                                             \
    ATOMIC(atomicAdd, float, old + value)                                                          \
    ATOMIC(atomicSub, int, old - value)                                                            \
    ATOMIC(atomicSub, unsigned, old - value)                                                       \
    ATOMIC(atomicMax, int, max(old, value))                                                        \
    ATOMIC(atomicMax, unsigned, max(old, value))                                                   \
    ATOMIC(atomicMax, unsigned long long, max(old, value))                                         \
    ATOMIC(atomicMin, int, min(old, value))                                                        \
    ATOMIC(atomicMin, unsigned, min(old, value))                                                   \
    ATOMIC(atomicMin, unsigned long long, min(old, value))                                         \
    ATOMIC(atomicOr, unsigned, old | value)                                                        \
    ATOMIC(atomicAnd, unsigned, old & value)                                                       \
    ATOMIC(atomicXor, unsigned, old ^ value)                                                       \
    ATOMIC(atomicExch, int, value)                                                                 \
    ATOMIC(atomicExch, unsigned, value)                                                            \
    ATOMIC(atomicExch, unsigned long long, value)                                                  \
    ATOMIC(atomicExch, float, value)                                                               \
    ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)                                      \
    ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1u)

#define EMULATION_DECLARED(name, type, expression) type name(type *address, type value);
EMULATION_ATOMICS(EMULATION_DECLARED)
#undef EMULATION_DECLARED
unsigned atomicCAS(unsigned *address, unsigned expected, unsigned value);
unsigned long long atomicCAS(unsigned long long *address, unsigned long long expected,
                             unsigned long long value);

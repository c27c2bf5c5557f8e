// Memory that threads share. One thread runs at a time, so that plain operations are atomic.
#pragma once

namespace emulation {
// What the launch gives the block that runs.
extern unsigned char *dynamic_shared;
} // namespace emulation

template <typename T> inline T __ldg(const T *address) { return *address; }
template <typename T> inline T __ldcs(const T *address) { return *address; }
template <typename T> inline T __ldcg(const T *address) { return *address; }
template <typename T> inline void __stcs(T *address, T value) { *address = value; }
template <typename T> inline void __stcg(T *address, T value) { *address = value; }

inline void __threadfence() {}
inline void __threadfence_block() {}

// Each returns the old value.
#define EMULATION_ATOMIC(name, type, expression)                                                   \
    inline type name(type *address, type value) {                                                  \
        type old = *address;                                                                       \
        *address = expression;                                                                     \
        return old;                                                                                \
    }
EMULATION_ATOMIC(atomicAdd, float, old + value)
EMULATION_ATOMIC(atomicAdd, unsigned, old + value)
EMULATION_ATOMIC(atomicAdd, unsigned long long, old + value)
EMULATION_ATOMIC(atomicSub, unsigned, old - value)
EMULATION_ATOMIC(atomicMax, int, old < value ? value : old)
EMULATION_ATOMIC(atomicMax, unsigned, old < value ? value : old)
EMULATION_ATOMIC(atomicMax, unsigned long long, old < value ? value : old)
EMULATION_ATOMIC(atomicMin, int, value < old ? value : old)
EMULATION_ATOMIC(atomicMin, unsigned, value < old ? value : old)
EMULATION_ATOMIC(atomicMin, unsigned long long, value < old ? value : old)
EMULATION_ATOMIC(atomicOr, unsigned, old | value)
EMULATION_ATOMIC(atomicAnd, unsigned, old &value)
EMULATION_ATOMIC(atomicXor, unsigned, old ^ value)
EMULATION_ATOMIC(atomicExch, int, value)
EMULATION_ATOMIC(atomicExch, unsigned, value)
EMULATION_ATOMIC(atomicExch, float, value)
// Counts up to `value`, then starts at zero.
EMULATION_ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)
#undef EMULATION_ATOMIC

inline int atomicAdd(int *address, int value) {
    return static_cast<int>(
        atomicAdd(reinterpret_cast<unsigned *>(address), static_cast<unsigned>(value)));
}

inline unsigned atomicCAS(unsigned *address, unsigned expected, unsigned value) {
    unsigned old = *address;
    *address = old == expected ? value : old;
    return old;
}

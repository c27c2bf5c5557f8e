// The language of kernels as C++17, so that the processor runs them: what nvcc has built in, and
// what `mma.cuh` and `warpgroup.cuh` write in PTX. Each thread of a block is a fibre; `emulation/` says
// how they run.
//
// A kernel's file is compiled inside an unnamed namespace, with `EMULATION_FILE` set to its name.
// All its variables without initial values are shared ones; the section that they lie in is given a
// name of its own by `build/emulated.rs`, and is filled with NaN before each block. Headers of the
// standard library that kernels need must be included here, outside that namespace.
//
// What there is in `emulation/`, besides what kernels see:
// - `launch.cpp`: the face to Rust; one block after the other.
// - `scheduler.cpp` over `fibre.cpp`: one thread at a time, and who is the next one; barriers.
// - `collectives.cpp`, `tensor.cpp`, `copies.cpp`, `atomics.cpp`: what kernels call; `arrivals.cpp`,
//   `tiles.cpp`, `warpgroup.cpp`: what those for compute capability 9.0 do.
// - `accesses.cpp` over `ordering.h` and `regions.cpp`: what each access of a kernel is checked for.
// - `overlap.cpp`: what kernels touch before earlier ones have ended.
// - `checks.cpp`, `faults.cpp`: what the compiler's own checks and the processor find; `places.cpp`
//   says in which line.
#pragma once

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <type_traits>
#include <utility>

#include "emulation/types.h"

#include "emulation/arithmetic.h"
#include "emulation/memory.h"
#include "emulation/threads.h"

#include "emulation/tensor.h"
#include "emulation/warpgroup.h"

#include "emulation/kernel.h"

#ifndef EMULATION_FILE
#define EMULATION_FILE unnamed
#endif
#define EMULATION_TEXT_OF(token) #token
#define EMULATION_TEXT(token) EMULATION_TEXT_OF(token)
#define EMULATION_JOIN_OF(left, right) left##right
#define EMULATION_JOIN(left, right) EMULATION_JOIN_OF(left, right)

#define __global__
#define __device__
#define __host__
#define __constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
// Other threads write these variables, which the compiler is told by `used`. (An attribute for the
// section is lost in templates.)
#define __shared__ static __attribute__((used))

#define DYNAMIC_SHARED(type, name) type *name = reinterpret_cast<type *>(emulation::dynamic_shared)

// Made by the linker; null where the file has no shared variables.
extern "C" __attribute__((weak)) unsigned char EMULATION_JOIN(__start_ponder_shared_, EMULATION_FILE)[];
extern "C" __attribute__((weak)) unsigned char EMULATION_JOIN(__stop_ponder_shared_, EMULATION_FILE)[];

#define EXPORT(name)                                                                               \
    __attribute__((section("ponder_registrations"))) emulation::Registration name##_registration(  \
        EMULATION_TEXT(name), emulation::Invocation<decltype(&name), &name>::description(),        \
        EMULATION_JOIN(__start_ponder_shared_, EMULATION_FILE),                                    \
        EMULATION_JOIN(__stop_ponder_shared_, EMULATION_FILE));

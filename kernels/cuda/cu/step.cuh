// What a step works on, as the host has uploaded it: see `src/step/`.
#pragma once

#include "common.cuh"

constexpr unsigned NONE = 0xffffffffu;

// Consecutive tokens of one sequence. Entries that nobody uses have no rows.
struct __align__(16) Span {
    unsigned first_row;
    unsigned n_rows;
    // Of the first token in its sequence.
    unsigned position;
    // Of recurrent states.
    unsigned slot;
    // How long the sequence will become at most, as it was announced.
    unsigned planned_length;
    unsigned unused[3];
};

// The blocks of a span in one group of layers: they begin at `blocks[start]`, and the first of them
// is block `first` of the sequence.
struct __align__(8) BlockList {
    unsigned start;
    unsigned first;
};

// The block of the cache that holds block `index` of the sequence.
__device__ __forceinline__ unsigned block_at(const unsigned *blocks, BlockList list, unsigned index) {
    return blocks[list.start + index - list.first];
}

// What a step works on, as the host has uploaded it: see `src/step/`.
#pragma once

#include "common.cuh"

// A token. Rows that are nobody's have no span.
struct __align__(16) Row {
    // In its sequence.
    unsigned position;
    // How long the sequence will become at most, as it was announced.
    unsigned planned_length;
    unsigned span;
    unsigned unused;
};

// Consecutive tokens of one sequence, and its blocks in a group of layers. Entries that nobody uses
// have no rows.
struct __align__(16) Span {
    unsigned first_row;
    unsigned n_rows;
    // Of the first token.
    unsigned position;
    // Of recurrent states.
    unsigned slot;
    // Where its blocks begin, and which block of the sequence the first of them is.
    unsigned first_entry;
    unsigned first_block;
    unsigned unused[2];

    // The block of the cache that holds block `index` of the sequence.
    __device__ __forceinline__ unsigned block(const unsigned *blocks, unsigned index) const {
        return blocks[first_entry + index - first_block];
    }
};

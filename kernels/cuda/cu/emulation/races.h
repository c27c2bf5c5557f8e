// Who accessed each word last, so that accesses that nothing orders are found.
#pragma once

#include "accesses.h"

namespace emulation {

constexpr size_t WORD = 4;

// An access; none has block 0.
struct Mark {
    // Blocks are numbered from the start of the program.
    uint32_t block;
    // Barriers of the block and of the warp before it.
    uint16_t barrier, warp_barrier;
    int32_t place;
    uint16_t thread;
    // Of the word, a bit each.
    uint8_t bytes;
    uint8_t flags;
};

// A flag: others that are atomic may happen at the same time.
constexpr uint8_t ATOMIC = 1;

// Of a word: its last write, and the last reads.
struct Cell {
    Mark written, read;
};

const char *name_of(Access access);

// Ends the launch: `now` races with an access that is called `what`.
[[noreturn]] void report(const Mark &other, const char *what, const Mark &now, Access access);

// Cells for a region of `size` bytes, none of which was accessed.
Cell *take_cells(size_t size);
void give_cells(Cell *cells, size_t size);

} // namespace emulation

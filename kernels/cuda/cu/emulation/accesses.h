// Which memory there is, and who accesses it: the compiler announces every access of a kernel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

struct Cell;

// Pages, and the bytes in them that may be accessed; the rest is beside them.
struct Region {
    uintptr_t first_page, end_of_pages, begin, end;
    bool is_shared;
    // For each word of four bytes from `begin`, who accessed it.
    Cell *cells;
    // Whether a kernel ever wrote there.
    mutable bool is_written;
};

// To look is to read what others may be writing.
enum class Access { read, write, atomic, look };

// Says that the thread that runs accesses so many bytes, from a place in the program.
void note(const void *address, size_t n_bytes, Access access, const void *place);

// Says that plain accesses of so many bytes, up to now, are of no interest to later ones.
void forget_accesses(const void *address, size_t n_bytes);

// Fails where a plain write to shared memory is not seen by copies and products: its thread has to say
// so behind it.
void check_shown(const void *address, size_t n_bytes);

// Before the first block of a launch, and before each.
void begin_launch_of_accesses();
void begin_block_of_accesses();
// Behind a count that all blocks have come to: what was before it is before what follows.
void go_on_with_accesses(unsigned count);

// The pages around an address, or those that it lies right beside; null where there are none.
const Region *region_near(const void *address);

} // namespace emulation

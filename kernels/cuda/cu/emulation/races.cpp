// What is said of races, and the memory that they are found by.
#include "races.h"

#include "block.h"
#include "places.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

namespace emulation {
namespace {

size_t size_of_cells(size_t size) { return (size / WORD + 2) * sizeof(Cell); }

} // namespace

const char *name_of(Access access) {
    constexpr const char *NAMES[] = {"read", "write", "atomic operation", "volatile read"};
    return NAMES[static_cast<int>(access)];
}

void report(const Mark &other, const char *what, const Mark &now, Access access) {
    mention("here", place_of_number(now.place));
    mention("there", place_of_number(other.place));
    if (other.block == now.block) {
        fail("a race of this %s with a %s by thread %u of the block", name_of(access), what, other.thread);
    }
    fail("a race of this %s with a %s by thread %u of another block", name_of(access), what, other.thread);
}

Cell *take_cells(size_t size) {
    void *mapped = mmap(nullptr, size_of_cells(size), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) {
        perror("emulation: who accesses memory");
        abort();
    }
    return static_cast<Cell *>(mapped);
}

void give_cells(Cell *cells, size_t size) { munmap(cells, size_of_cells(size)); }

} // namespace emulation

// Accesses of different threads to the same word, one of them a write, must be ordered: by
// `__syncthreads` in a block, by `__syncwarp` in a warp. Shuffles, votes and products order nothing,
// though the lanes wait for each other. Blocks are ordered by launches, and where a block has done
// something atomic it is taken to know what the others did before.
#include "races.h"

#include "block.h"
#include "places.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

namespace emulation {
namespace {

// Besides the thread that is named there were others, at the same time as it.
enum Flags : uint8_t { OTHER_LANES = 2, OTHER_WARPS = 4, OTHER_BLOCKS = 8 };

size_t size_of_cells(size_t size) { return (size / WORD + 2) * sizeof(Cell); }

[[noreturn]] void report(const Mark &other, const char *what, const Mark &now, Access access) {
    mention("here", place_of_number(now.place));
    mention("there", place_of_number(other.place));
    if (other.block == now.block) {
        fail("a race of this %s with a %s by thread %u of the block", name_of(access), what, other.thread);
    }
    fail("a race of this %s with a %s by thread %u of another block", name_of(access), what, other.thread);
}

bool is_same_warp(const Mark &one, const Mark &other) {
    return one.thread / LANES == other.thread / LANES;
}

// Whether all of an access, which may be that of several threads, happened before this one.
bool is_before(const Mark &mark, const Mark &now, uint32_t first_block) {
    bool knows_others = block.has_acquired;
    if (mark.block != now.block) {
        return mark.block < first_block || knows_others;
    }
    if ((mark.flags & OTHER_BLOCKS) != 0 && !knows_others) {
        return false;
    }
    if (mark.barrier != now.barrier) {
        return true;
    }
    if ((mark.flags & OTHER_WARPS) != 0 || !is_same_warp(mark, now)) {
        return false;
    }
    return mark.warp_barrier != now.warp_barrier ||
           ((mark.flags & OTHER_LANES) == 0 && mark.thread == now.thread);
}

// Those that are named besides the thread have accessed the same bytes. Where they would be others,
// only the latest is kept: what is not known is not reported.
uint8_t others_of(const Mark &read, const Mark &now, uint32_t first_block) {
    if (read.bytes != now.bytes) {
        return 0;
    }
    if (read.block != now.block) {
        return read.block >= first_block ? OTHER_BLOCKS : 0;
    }
    if (read.barrier != now.barrier) {
        return read.flags & OTHER_BLOCKS;
    }
    if (!is_same_warp(read, now)) {
        return read.flags | OTHER_WARPS;
    }
    if (read.warp_barrier != now.warp_barrier) {
        return read.flags & (OTHER_BLOCKS | OTHER_WARPS);
    }
    return read.flags | (read.thread != now.thread ? OTHER_LANES : 0);
}

// Whether nothing came between two accesses of one thread.
bool is_one(const Mark &mark, const Mark &now) {
    return mark.block == now.block && mark.thread == now.thread && mark.barrier == now.barrier &&
           mark.warp_barrier == now.warp_barrier && mark.flags == now.flags;
}

void add(Mark &mark, const Mark &now, uint8_t others) {
    uint8_t bytes = is_one(mark, now) ? mark.bytes | now.bytes : now.bytes;
    mark = now;
    mark.bytes = bytes;
    mark.flags |= others;
}

} // namespace

const char *name_of(Access access) {
    constexpr const char *NAMES[] = {"read", "write", "atomic operation", "volatile read"};
    return NAMES[static_cast<int>(access)];
}

void check_word(Cell &cell, const Mark &now, Access access, uint32_t first_block) {
    const Mark &written = cell.written;
    bool is_conflict = (written.bytes & now.bytes) != 0 &&
                       !(access == Access::atomic && (written.flags & ATOMIC) != 0);
    if (is_conflict && !is_before(written, now, first_block)) {
        report(written, (written.flags & ATOMIC) != 0 ? "atomic operation" : "write", now, access);
    }
    if (access == Access::read) {
        add(cell.read, now, others_of(cell.read, now, first_block));
        return;
    }
    if ((cell.read.bytes & now.bytes) != 0 && !is_before(cell.read, now, first_block)) {
        report(cell.read, "read", now, access);
    }
    add(cell.written, now, 0);
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

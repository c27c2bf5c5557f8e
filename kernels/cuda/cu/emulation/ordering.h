// The rules of order: whether accesses of one word race. They are in a header because they stand behind
// every access of a kernel.
//
// Accesses of different threads to the same word, one of them a write, must be ordered: by
// `__syncthreads` in a block, by `__syncwarp` in a warp. Shuffles, votes and products order nothing,
// though the lanes wait for each other. Blocks are ordered by launches, and where a block has done
// something atomic it is taken to know what the others did before.
#pragma once

#include "block.h"
#include "races.h"

namespace emulation {

// Besides the thread that is named there were others, at the same time as it.
enum Flags : uint8_t { OTHER_LANES = 2, OTHER_WARPS = 4, OTHER_BLOCKS = 8 };

inline bool is_same_warp(const Mark &one, const Mark &other) {
    return one.thread / LANES == other.thread / LANES;
}

// Whether all of an access, which may be that of several threads, happened before this one.
inline bool is_before(const Mark &mark, const Mark &now, uint32_t first_block) {
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
inline uint8_t others_of(const Mark &read, const Mark &now, uint32_t first_block) {
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
inline bool is_one(const Mark &mark, const Mark &now) {
    return mark.block == now.block && mark.thread == now.thread && mark.barrier == now.barrier &&
           mark.warp_barrier == now.warp_barrier && mark.flags == now.flags;
}

inline void add(Mark &mark, const Mark &now, uint8_t others) {
    uint8_t bytes = is_one(mark, now) ? mark.bytes | now.bytes : now.bytes;
    mark = now;
    mark.bytes = bytes;
    mark.flags |= others;
}

// Adds an access. Those of blocks before `first_block` happened before everything.
inline void check_word(Cell &cell, const Mark &now, Access access, uint32_t first_block) {
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

} // namespace emulation

// Every access of a kernel: it must lie inside of memory, and must not race with another one. Where
// there is no memory at all it is left to the processor to say so (`faults.cpp`).
#include "accesses.h"

#include "block.h"
#include "ordering.h"
#include "overlap.h"
#include "places.h"

#include <vector>

namespace emulation {
namespace {

// Since the program started.
uint32_t n_blocks, first_block_of_launch;

// What blocks of the launch have waited for last.
unsigned latest_count;

// Pages that were accessed lately, and their regions; null for those that belong to the program.
constexpr unsigned PAGE_LOG2 = 12;
struct Page {
    uintptr_t number;
    const Region *region;
};
Page recent[1024];

// Shared memory of the launch: that of its file, and what it is given.
Region of_file, of_launch;

// How often the thread that wrote a word of what the launch is given had shown its writes before.
unsigned n_shown_before[MAX_SHARED / WORD + 1];

// Words of the file's shared variables that the block has accessed. Which variables a kernel has is
// not known otherwise.
size_t n_file_words;

void check_room() {
    size_t n_bytes = n_file_words * WORD;
    if (n_bytes > MAX_STATIC_SHARED || n_bytes + n_dynamic_shared > MAX_SHARED) {
        fail("%zu bytes of shared variables beside %u that the launch gives", n_bytes, n_dynamic_shared);
    }
}

// A file's shared variables keep their cells: what they say of earlier blocks is of no interest.
Region region_of_file() {
    static std::vector<Region> files;
    uintptr_t begin = reinterpret_cast<uintptr_t>(block.kernel->shared_begin);
    for (const Region &region : files) {
        if (region.begin == begin) {
            return region;
        }
    }
    Region region = {};
    region.is_shared = true;
    region.begin = begin;
    region.end = region.end_of_pages = reinterpret_cast<uintptr_t>(block.kernel->shared_end);
    region.cells = take_cells(region.end - region.begin);
    files.push_back(region);
    return region;
}

// So does what launches are given, wherever it begins.
Region region_of_launch() {
    static Cell *cells = take_cells(MAX_SHARED);
    Region region = {};
    region.is_shared = true;
    region.begin = reinterpret_cast<uintptr_t>(dynamic_shared);
    region.end = region.begin + n_dynamic_shared;
    region.end_of_pages = region.begin + (n_dynamic_shared + 15) / 16 * 16;
    region.cells = cells;
    return region;
}

bool is_in(const Region &region, uintptr_t at) {
    return at - region.begin < region.end_of_pages - region.begin;
}

const Region *region_of(uintptr_t at) {
    if (is_in(of_file, at)) {
        return &of_file;
    }
    if (is_in(of_launch, at)) {
        return &of_launch;
    }
    uintptr_t number = at >> PAGE_LOG2;
    Page &page = recent[number % (sizeof recent / sizeof recent[0])];
    if (page.number != number) {
        const Region *region = region_near(reinterpret_cast<const void *>(at));
        if (region != nullptr && (at < region->first_page || at >= region->end_of_pages)) {
            region = nullptr;
        }
        page = {number, region};
    }
    return page.region;
}

void check_bounds(const Region &region, uintptr_t at, size_t n_bytes, Access access, const void *place) {
    if (at >= region.begin && at + n_bytes <= region.end) {
        return;
    }
    mention("here", place);
    mention(region, reinterpret_cast<const void *>(at));
    fail("%s of %zu bytes beside memory", name_of(access), n_bytes);
}

} // namespace

void note(const void *address, size_t n_bytes, Access access, const void *place) {
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    const Region *region = region_of(at);
    if (region == nullptr) {
        return;
    }
    check_bounds(*region, at, n_bytes, access, place);
    if (!region->is_shared) {
        check_time(*region, access, place);
    }
    if (access == Access::look) {
        block.has_acquired |= !region->is_shared;
        return;
    }
    Mark now = {};
    now.block = n_blocks;
    now.barrier = static_cast<uint16_t>(block.n_barriers);
    now.warp_barrier = static_cast<uint16_t>(block.warps[running->warp].n_barriers);
    now.place = number_of_place(place);
    now.thread = static_cast<uint16_t>(running->number);
    now.flags = access == Access::atomic ? ATOMIC : 0;
    uint32_t first_block = region->is_shared ? n_blocks : first_block_of_launch;
    uintptr_t end = at + n_bytes, first_word = region->begin & ~(WORD - 1);
    for (uintptr_t word = at & ~(WORD - 1); word < end; word += WORD) {
        unsigned first = word < at ? static_cast<unsigned>(at - word) : 0;
        unsigned behind = end - word < WORD ? static_cast<unsigned>(end - word) : WORD;
        now.bytes = static_cast<uint8_t>((1u << behind) - (1u << first));
        Cell &cell = region->cells[(word - first_word) / WORD];
        if (region == &of_launch && access != Access::read) {
            n_shown_before[(word - first_word) / WORD] = running->n_shown;
        }
        n_file_words += region == &of_file && cell.written.block != n_blocks && cell.read.block != n_blocks;
        check_word(cell, now, access, first_block);
    }
    check_room();
    if (access == Access::atomic && !region->is_shared) {
        block.has_acquired = true;
    }
}

void forget_accesses(const void *address, size_t n_bytes) {
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    for (size_t i = 0; i < n_bytes; i += WORD) {
        of_launch.cells[(at + i - of_launch.begin) / WORD] = {};
    }
}

void check_shown(const void *address, size_t n_bytes) {
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    for (size_t i = 0; i < n_bytes; i += WORD) {
        size_t word = (at + i - of_launch.begin) / WORD;
        const Mark &written = of_launch.cells[word].written;
        if (written.block == n_blocks && block.threads[written.thread].n_shown == n_shown_before[word]) {
            mention("written here", place_of_number(written.place));
            fail("a product reads what thread %u has written and not shown", written.thread);
        }
    }
}

void show_writes() { running->n_shown++; }

void begin_launch_of_accesses() {
    first_block_of_launch = n_blocks + 1;
    latest_count = 0;
    memset(recent, 0, sizeof recent);
    begin_launch_of_overlap();
    of_file = region_of_file();
    of_launch = region_of_launch();
}

void begin_block_of_accesses() {
    n_blocks++;
    n_file_words = 0;
    block.has_acquired = false;
}

void go_on_with_accesses(unsigned count) {
    if (count > latest_count) {
        latest_count = count;
        first_block_of_launch = n_blocks + 1;
    }
    begin_block_of_accesses();
}

// What the compiler calls before accesses.
#define EMULATION_ACCESS(name, n_bytes, access)                                                    \
    extern "C" void __tsan_##name(const void *address) {                                           \
        if (!is_in_stacks(address)) {                                                              \
            note(address, n_bytes, access, __builtin_return_address(0));                           \
        }                                                                                          \
    }
#define EMULATION_ACCESSES(n_bytes)                                                                \
    EMULATION_ACCESS(read##n_bytes, n_bytes, Access::read)                                         \
    EMULATION_ACCESS(write##n_bytes, n_bytes, Access::write)                                       \
    EMULATION_ACCESS(unaligned_read##n_bytes, n_bytes, Access::read)                               \
    EMULATION_ACCESS(unaligned_write##n_bytes, n_bytes, Access::write)                             \
    EMULATION_ACCESS(volatile_read##n_bytes, n_bytes, Access::look)                                \
    EMULATION_ACCESS(volatile_write##n_bytes, n_bytes, Access::atomic)                             \
    EMULATION_ACCESS(unaligned_volatile_read##n_bytes, n_bytes, Access::look)                      \
    EMULATION_ACCESS(unaligned_volatile_write##n_bytes, n_bytes, Access::atomic)
EMULATION_ACCESSES(1)
EMULATION_ACCESSES(2)
EMULATION_ACCESSES(4)
EMULATION_ACCESSES(8)
EMULATION_ACCESSES(16)

extern "C" void __tsan_read_range(const void *address, size_t n_bytes) {
    note(address, n_bytes, Access::read, __builtin_return_address(0));
}

extern "C" void __tsan_write_range(const void *address, size_t n_bytes) {
    note(address, n_bytes, Access::write, __builtin_return_address(0));
}

extern "C" void __tsan_init() {}

} // namespace emulation

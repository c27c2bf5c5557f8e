// Memory of devices: pages between guards, and what of them may be accessed.
#include "accesses.h"
#include "block.h"
#include "races.h"

#include <map>
#include <mutex>
#include <sys/mman.h>

namespace emulation {
namespace {

// Wider than pages of any processor.
constexpr size_t GUARD = 64 * 1024;

// Devices allocate while the kernels of another one run.
std::mutex lock;

std::map<uintptr_t, Region> &regions() {
    static std::map<uintptr_t, Region> all;
    return all;
}

} // namespace

const Region *region_near(const void *address) {
    uintptr_t at = reinterpret_cast<uintptr_t>(address);
    std::lock_guard<std::mutex> guard(lock);
    for (auto next = regions().upper_bound(at + GUARD); next != regions().begin();) {
        const Region &region = (--next)->second;
        if (at + GUARD >= region.first_page && at < region.end_of_pages + GUARD) {
            return &region;
        }
        if (region.first_page < at) {
            break;
        }
    }
    return nullptr;
}

// The face to Rust (`src/device/emulated`).
extern "C" {

// Whole pages between guards; null where there is no room.
unsigned char *ponder_emulation_map(size_t n_bytes) {
    void *mapped = mmap(nullptr, n_bytes + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return nullptr;
    }
    unsigned char *begin = static_cast<unsigned char *>(mapped) + GUARD;
    if (mprotect(begin, n_bytes, PROT_READ | PROT_WRITE) != 0) {
        munmap(mapped, n_bytes + 2 * GUARD);
        return nullptr;
    }
    return begin;
}

void ponder_emulation_unmap(unsigned char *first_page, size_t n_bytes) {
    {
        std::lock_guard<std::mutex> guard(lock);
        auto found = regions().find(reinterpret_cast<uintptr_t>(first_page));
        if (found != regions().end()) {
            const Region &region = found->second;
            give_cells(region.cells, region.end - region.begin);
            regions().erase(found);
        }
    }
    munmap(first_page - GUARD, n_bytes + 2 * GUARD);
}

// Says which bytes of pages may be accessed.
void ponder_emulation_watch(unsigned char *first_page, size_t n_bytes, unsigned char *begin, size_t size) {
    Region region = {};
    region.first_page = reinterpret_cast<uintptr_t>(first_page);
    region.end_of_pages = region.first_page + n_bytes;
    region.begin = reinterpret_cast<uintptr_t>(begin);
    region.end = region.begin + size;
    region.cells = take_cells(size);
    std::lock_guard<std::mutex> guard(lock);
    regions()[region.first_page] = region;
}

} // extern "C"

} // namespace emulation

// What lanes do together, and what is said of those who wait in vain.
#include "block.h"

#include <cstdio>

namespace emulation {

unsigned lane_of_caller() { return running->lane; }

void order_memory(void *const *, unsigned) { block.warps[running->warp].n_barriers++; }

void exchange(void *const *operands, unsigned mask) {
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
        Exchange &own = *static_cast<Exchange *>(operands[__builtin_ctz(rest)]);
        if (own.source < LANES && ((mask >> own.source) & 1u) != 0) {
            own.result = static_cast<Exchange *>(operands[own.source])->value;
        }
    }
}

void vote(void *const *operands, unsigned mask) {
    unsigned result = 0;
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
        unsigned lane = static_cast<unsigned>(__builtin_ctz(rest));
        result |= static_cast<unsigned>(static_cast<Vote *>(operands[lane])->is_for) << lane;
    }
    for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
        static_cast<Vote *>(operands[__builtin_ctz(rest)])->result = result;
    }
}

namespace {

struct Text {
    char bytes[3072];
    size_t length;

    template <typename... Values> void add(const char *format, Values... values) {
        if (length < sizeof bytes) {
            int n = snprintf(bytes + length, sizeof bytes - length, format, values...);
            length += static_cast<size_t>(n);
        }
    }
};

// Those of `lanes` that wait at the same place as the first of them.
unsigned beside_first(unsigned number, unsigned lanes) {
    const Site &first = block.threads[number * LANES + static_cast<unsigned>(__builtin_ctz(lanes))].site;
    unsigned beside = 0;
    for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
        unsigned lane = static_cast<unsigned>(__builtin_ctz(rest));
        const Site &site = block.threads[number * LANES + lane].site;
        if (is_same(site, first)) {
            beside |= 1u << lane;
        }
    }
    return beside;
}

void describe(Text &text, unsigned number, unsigned lanes, unsigned mask) {
    while (lanes != 0) {
        unsigned beside = beside_first(number, lanes);
        const Site &site = block.threads[number * LANES + static_cast<unsigned>(__builtin_ctz(beside))].site;
        text.add("\n  warp %u: lanes %#x wait at %s (%s:%u)", number, beside, site.what, site.file,
                 site.line);
        if (mask != 0) {
            text.add(" for lanes %#x", mask);
        }
        lanes &= ~beside;
    }
}

} // namespace

const char *describe_waiting() {
    static Text text;
    text.length = 0;
    for (unsigned number = 0; number < block.n_warps; number++) {
        const Warp &warp = block.warps[number];
        for (unsigned i = 0; i < warp.n_gatherings; i++) {
            describe(text, number, warp.gatherings[i].arrived, warp.gatherings[i].mask);
        }
        describe(text, number, warp.waiting, 0);
        describe(text, number, warp.asleep, 0);
    }
    return text.bytes;
}

} // namespace emulation

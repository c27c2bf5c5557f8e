// Products of tiles in shared memory by the four warps of a warpgroup (wgmma). Each warp has sixteen
// rows of a product; they are computed when the warp waits for them, from what is in memory then.
//
// Descriptors, and which lane has which sums, are as the PTX manual says of `wgmma.mma_async`, for
// operands whose rows are consecutive in k.
#include "accesses.h"
#include "block.h"

#include <vector>

namespace emulation {
namespace {

using Eight = float __attribute__((vector_size(32)));

constexpr unsigned ROWS = 16, MAX_K = 32, MAX_COLUMNS = 256;

// An operand: rows of 32 bytes in two chunks: sixteen values, or 32 of eight bits.
struct Descriptor {
    uintptr_t start, leading, stride;
    // Bytes of the pattern in which chunks lie; 16 where there is none.
    unsigned swizzle;

    explicit Descriptor(uint64_t bits) {
        constexpr unsigned SWIZZLES[] = {16, 128, 64, 32};
        auto field = [bits](unsigned at) { return static_cast<uintptr_t>((bits >> at) & 0x3fffu) << 4; };
        start = field(0), leading = field(16), stride = field(32);
        swizzle = SWIZZLES[bits >> 62];
        // A pattern repeats after eight of its rows; where it begins elsewhere an offset says so.
        if (((bits >> 49) & 7) != 0 || ((start >> 7) & (swizzle / 16 - 1)) != 0) {
            fail("a descriptor %#lx of a tile that does not begin where its pattern does", bits);
        }
    }

    // Without a pattern eight rows of a chunk are 128 bytes, and `leading` bytes lie between chunks;
    // else a row has as many bytes as the pattern. `stride` bytes lie between eight rows and the next.
    const uint16_t *chunk(unsigned row, unsigned i) const {
        uintptr_t at = start + row / 8 * stride + row % 8 * swizzle + i * (swizzle == 16 ? leading : 16);
        const void *found = at_shared_address(static_cast<unsigned>(swizzled(at, swizzle)));
        if (!is_shared(found, 16)) {
            fail("a product reads %p, which is not shared memory", found);
        }
        check_shown(found, 16);
        return static_cast<const uint16_t *>(found);
    }

    void read(unsigned row, bool is_fp8, float (&values)[MAX_K]) const {
        for (unsigned half = 0; half < 2; half++) {
            const uint16_t *from = chunk(row, half);
            for (unsigned i = 0; i < 8; i++) {
                if (is_fp8) {
                    values[16 * half + 2 * i] = widen_e4m3(static_cast<uint8_t>(from[i]));
                    values[16 * half + 2 * i + 1] = widen_e4m3(static_cast<uint8_t>(from[i] >> 8));
                } else {
                    values[8 * half + i] = bits_as<float>(static_cast<unsigned>(from[i]) << 16);
                }
            }
        }
    }
};

// The sums of a warp, which are its lanes' again when no product is under way.
struct Sums {
    float *of_lane[LANES];
    unsigned n_columns, n_under_way;
    alignas(32) float values[ROWS][MAX_COLUMNS];

    template <typename Function> void for_each(Function function) {
        for (unsigned lane = 0; lane < LANES; lane++) {
            for (unsigned i = 0; i < n_columns / 2; i++) {
                unsigned row = lane / 4 + i / 2 % 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
                function(of_lane[lane][i], values[row][column]);
            }
        }
    }
};

struct Queued {
    float *sums;
    uint64_t left, right;
    bool adds, is_fp8;
};

struct Products {
    std::vector<Sums *> sums;
    std::vector<Queued> queue;
    // How many products are in each group that is under way, the first one first.
    std::vector<size_t> groups;
    size_t n_uncommitted = 0;
    bool is_fenced = false;
};

Products of_warp[MAX_THREADS / LANES];

Products &own() { return of_warp[running->warp]; }

Sums *find(Products &products, const float *of_first_lane) {
    for (Sums *sums : products.sums) {
        if (sums->of_lane[0] == of_first_lane) {
            return sums;
        }
    }
    return nullptr;
}

void multiply(const Queued &product, Sums &sums) {
    Descriptor left(product.left), right(product.right);
    alignas(32) static float b[MAX_K][MAX_COLUMNS];
    unsigned n = product.is_fp8 ? MAX_K : MAX_K / 2;
    for (unsigned column = 0; column < sums.n_columns; column++) {
        float values[MAX_K];
        right.read(column, product.is_fp8, values);
        for (unsigned k = 0; k < n; k++) {
            b[k][column] = values[k];
        }
    }
    for (unsigned row = 0; row < ROWS; row++) {
        float a[MAX_K];
        left.read(running->warp % 4 * ROWS + row, product.is_fp8, a);
        for (unsigned column = 0; column < sums.n_columns; column += 8) {
            Eight sum = {};
            for (unsigned k = 0; k < n; k++) {
                sum += a[k] * *reinterpret_cast<const Eight *>(&b[k][column]);
            }
            Eight &total = *reinterpret_cast<Eight *>(&sums.values[row][column]);
            total = product.adds ? total + sum : sum;
        }
    }
}

void finish(Products &products, const Queued &product) {
    Sums *sums = find(products, product.sums);
    multiply(product, *sums);
    if (--sums->n_under_way > 0) {
        return;
    }
    sums->for_each([](float &of_lane, float &value) { of_lane = value; });
    for (size_t i = 0; i < products.sums.size(); i++) {
        if (products.sums[i] == sums) {
            products.sums.erase(products.sums.begin() + static_cast<ptrdiff_t>(i));
        }
    }
    delete sums;
    // Whoever has the sums may change them now.
    products.is_fenced = false;
}

// The operands of all lanes, which must agree.
const TileProduct &agreed(void *const *operands) {
    const TileProduct &first = *static_cast<const TileProduct *>(operands[0]);
    for (unsigned lane = 1; lane < LANES; lane++) {
        const TileProduct &other = *static_cast<const TileProduct *>(operands[lane]);
        if (other.left != first.left || other.right != first.right || other.adds != first.adds) {
            fail("multiply_tiles: lanes 0 and %u have different operands", lane);
        }
    }
    return first;
}

} // namespace

void forget_products() {
    for (Products &products : of_warp) {
        for (Sums *sums : products.sums) {
            delete sums;
        }
        products = Products();
    }
}

void begin_product(void *const *operands, unsigned) {
    const TileProduct &first = agreed(operands);
    if (running->warp / 4 * 4 + 4 > block.n_warps) {
        fail("multiply_tiles by a warp that has no warpgroup");
    }
    Products &products = own();
    Sums *sums = find(products, first.sums);
    if (sums == nullptr) {
        if (!products.is_fenced) {
            fail("multiply_tiles with sums that no fence_products has handed over");
        }
        sums = new Sums{};
        sums->n_columns = first.n_columns;
        for (unsigned lane = 0; lane < LANES; lane++) {
            sums->of_lane[lane] = static_cast<const TileProduct *>(operands[lane])->sums;
        }
        sums->for_each([](float &of_lane, float &value) {
            value = of_lane;
            of_lane = __uint_as_float(0xffffffffu);
        });
        products.sums.push_back(sums);
    }
    sums->n_under_way++;
    products.queue.push_back({first.sums, first.left, first.right, first.adds, first.is_fp8});
    products.n_uncommitted++;
}

void fence_products(void *const *, unsigned) { own().is_fenced = true; }

void commit_products(void *const *, unsigned) {
    Products &products = own();
    products.groups.push_back(products.n_uncommitted);
    products.n_uncommitted = 0;
}

void wait_for_products(void *const *operands, unsigned) {
    Products &products = own();
    size_t n_left = *static_cast<const unsigned *>(operands[0]);
    while (products.groups.size() > n_left) {
        size_t n_done = products.groups.front();
        products.groups.erase(products.groups.begin());
        for (size_t i = 0; i < n_done; i++) {
            finish(products, products.queue[i]);
        }
        products.queue.erase(products.queue.begin(),
                             products.queue.begin() + static_cast<ptrdiff_t>(n_done));
    }
}

} // namespace emulation

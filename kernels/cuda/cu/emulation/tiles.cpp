// Copies of tiles by tensor maps. Each is carried out as late as it may be: when no thread can go on.
#include "accesses.h"
#include "arrivals.h"
#include "block.h"

#include <vector>

namespace emulation {
namespace {

// As `src/device/emulated/tensor_maps.rs` writes it.
struct Map {
    uint64_t is_map;
    uintptr_t address;
    // Of the matrix; values have 16 bits, and rows follow each other.
    uint64_t n_rows, row_len;
    uint64_t tile_rows, tile_len;
    // Bytes of a pattern: 128, 64 or 32; 16 where there is none.
    uint64_t swizzle;
};
constexpr uint64_t IS_MAP = 0x70616d5f74616c66;

struct Tile {
    unsigned char *to;
    Map map;
    int64_t column, row;
    const uint64_t *barrier;

    size_t row_bytes() const { return map.tile_len * 2; }
    size_t n_bytes() const { return map.tile_rows * row_bytes(); }
};

std::vector<Tile> under_way;

// The values of a row of the tile that the matrix has: how many, and the first of them.
size_t values_of(const Tile &tile, uint64_t i, const unsigned char **from) {
    int64_t row = tile.row + static_cast<int64_t>(i);
    int64_t row_len = static_cast<int64_t>(tile.map.row_len);
    if (row < 0 || row >= static_cast<int64_t>(tile.map.n_rows) || tile.column >= row_len) {
        return 0;
    }
    if (tile.column < 0) {
        fail("a tile from column %ld on", static_cast<long>(tile.column));
    }
    *from = reinterpret_cast<const unsigned char *>(tile.map.address) + (row * row_len + tile.column) * 2;
    return static_cast<size_t>(min(row_len - tile.column, static_cast<int64_t>(tile.map.tile_len)));
}

void deliver(const Tile &tile) {
    forget_accesses(tile.to, tile.n_bytes());
    std::vector<unsigned char> bytes(tile.row_bytes());
    for (uint64_t row = 0; row < tile.map.tile_rows; row++) {
        const unsigned char *from = nullptr;
        size_t n_values = values_of(tile, row, &from);
        // What the matrix does not have is zero.
        memset(bytes.data(), 0, bytes.size());
        if (n_values > 0) {
            memcpy(bytes.data(), from, n_values * 2);
        }
        for (size_t at = 0; at < bytes.size(); at += 16) {
            uintptr_t to = reinterpret_cast<uintptr_t>(tile.to) + row * tile.row_bytes() + at;
            to = swizzled(to, static_cast<unsigned>(tile.map.swizzle));
            memcpy(reinterpret_cast<void *>(to), bytes.data() + at, 16);
        }
    }
    bytes_come(tile.barrier, tile.n_bytes());
}

} // namespace

uintptr_t swizzled(uintptr_t address, unsigned pattern) {
    // Chunks of 16 bytes change places with others of their row, by the number of the row.
    return address ^ (((address >> 7) & (pattern / 16 - 1)) << 4);
}

void forget_tiles() { under_way.clear(); }

void check_no_tiles() {
    if (!under_way.empty()) {
        fail("the block ended while %zu copies of tiles were under way", under_way.size());
    }
}

bool deliver_a_tile() {
    if (under_way.empty()) {
        return false;
    }
    size_t i = any_lane() * under_way.size() / LANES;
    Tile tile = under_way[i];
    under_way.erase(under_way.begin() + static_cast<ptrdiff_t>(i));
    deliver(tile);
    return true;
}

void copy_tile(void *shared, const TensorMap &tensor_map, unsigned column, unsigned row,
               uint64_t *barrier) {
    Map map;
    static_assert(sizeof map <= sizeof tensor_map, "room for a map");
    memcpy(&map, &tensor_map, sizeof map);
    if (map.is_map != IS_MAP) {
        fail("a copy by what is no tensor map");
    }
    Tile tile = {static_cast<unsigned char *>(shared), map, static_cast<int>(column), static_cast<int>(row),
                 barrier};
    size_t alignment = map.swizzle == 16 ? 128 : 8 * map.swizzle;
    if (reinterpret_cast<uintptr_t>(shared) % alignment != 0 || !is_shared(shared, tile.n_bytes())) {
        fail("a tile of %zu bytes to %p, which is not shared memory aligned to %zu", tile.n_bytes(), shared,
             alignment);
    }
    check_published(barrier);
    for (uint64_t i = 0; i < map.tile_rows; i++) {
        const unsigned char *from = nullptr;
        size_t n_values = values_of(tile, i, &from);
        if (n_values > 0) {
            note(from, n_values * 2, Access::read, __builtin_return_address(0));
        }
    }
    // It may happen at once: then what was there is lost, and what comes is not to be read yet.
    memset(shared, 0xff, tile.n_bytes());
    under_way.push_back(tile);
}

} // namespace emulation

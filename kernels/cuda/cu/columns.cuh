// Which rows of activations a block multiplies, and with whose weights.
//
// Where a layer has experts, a matrix holds the rows of all of them, one expert's behind another's, and
// every row of activations is multiplied by a few of them. A row and one of its experts are a pair: of
// row `r` pairs `r * top_k` to `(r + 1) * top_k - 1`. Pairs are sorted by expert, and those of one
// expert cut into tiles of as many as a block has columns. Tiles that nobody needs are empty.
#pragma once

#include "common.cuh"

// Behind the arguments of all products: `tiles` has the expert of a tile, the place of its first pair
// and how many there are; null where there are no experts. `order` says which pair is at a place; null
// where that is the pair itself. So many pairs in a row read the same activations as `sharers` says.
#define CHOICE_PARAMETERS const uint4 *tiles, const unsigned *order, unsigned n_experts, unsigned sharers

struct Choice {
    const uint4 *tiles;
    const unsigned *order;
    unsigned n_experts, sharers;
};

// The rows of activations that a block has.
struct Columns {
    unsigned n;
    // The first, or its place.
    unsigned first;
    const unsigned *order;
    unsigned sharers;
    unsigned expert, n_experts;

    // Tile number `index` of `size` columns, where there are `n_rows` of them in all.
    __device__ __forceinline__ Columns(const Choice &choice, unsigned index, unsigned size, unsigned n_rows) {
        if (choice.tiles) {
            uint4 tile = choice.tiles[index];
            expert = tile.x, first = tile.y, n = tile.z;
            n_experts = choice.n_experts, sharers = choice.sharers, order = choice.order;
        } else {
            first = index * size;
            n = first < n_rows ? min(n_rows - first, size) : 0;
            expert = 0, n_experts = 1, sharers = 1, order = nullptr;
        }
    }

    // Which row of the output a column is, and which of the input.
    __device__ __forceinline__ unsigned output(unsigned column) const {
        return order ? order[first + column] : first + column;
    }
    __device__ __forceinline__ unsigned input(unsigned column) const { return output(column) / sharers; }

    // A row of the expert's matrix among those of all experts, and how many these are.
    __device__ __forceinline__ unsigned row_of_all(unsigned row, unsigned n_rows) const {
        return expert * n_rows + row;
    }
    __device__ __forceinline__ size_t all_rows(unsigned n_rows) const {
        return static_cast<size_t>(n_experts) * n_rows;
    }
};

// Attention over a cache of half precision.
#include "attention_kernels.cuh"

using F16Tile = PlainTile<Half, KvF16>;
ATTENTION_KERNELS(f16, F16Tile)

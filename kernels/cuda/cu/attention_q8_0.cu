// Attention over a cache of whole numbers of eight bits.
#include "attention_kernels.cuh"

ATTENTION_KERNELS(q8_0, Q8Tile)

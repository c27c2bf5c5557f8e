// Attention over a cache of floats of eight bits.
#include "attention_kernels.cuh"

ATTENTION_KERNELS(fp8, Fp8Tile)

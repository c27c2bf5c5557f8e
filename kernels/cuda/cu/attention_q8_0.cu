// Attention over a cache of eight bits.
#include "attention_kernels.cuh"

ATTENTION_KERNELS(q8_0, QuantizedTile)

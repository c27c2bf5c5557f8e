// Attention over a cache of bfloat16.
#include "attention_kernels.cuh"

#if defined(PONDER_EMULATED) || __CUDA_ARCH__ >= 800
using Bf16Tile = PlainTile<Brain, KvBf16>;
#else
using Bf16Tile = NarrowedTile;
#endif
ATTENTION_KERNELS(bf16, Bf16Tile)

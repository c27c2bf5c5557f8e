// Many rows of activations with weights that are 16-bit numbers, or floats of eight bits.

#include "matmul_kernels.cuh"

DEFINE_MATMULS(bf16)
DEFINE_MATMULS(fp8)
DEFINE_EIGHT_BIT_MATMULS(fp8, fp8)
// Two terms for each weight need twice the room.
DEFINE_SMALL_MATMULS(f16)

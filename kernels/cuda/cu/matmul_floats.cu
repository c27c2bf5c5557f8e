// Many rows of activations with weights that are 16-bit numbers, or floats of eight bits.

#include "matmul.cuh"

DEFINE_MATMULS(bf16)
DEFINE_MATMULS(fp8)
DEFINE_FP8_MATMUL_OF(fp8, small, 64, 32, 16, 32)
DEFINE_FP8_MATMUL_OF(fp8, medium, 64, 64, 32, 32)
DEFINE_FP8_MATMUL_OF(fp8, large, 128, 128, 64, 32)
// Two terms for each weight need twice the room.
DEFINE_SMALL_MATMULS(f16)

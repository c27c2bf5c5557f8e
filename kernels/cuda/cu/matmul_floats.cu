// Many rows of activations with weights that are 16-bit numbers.

#include "matmul.cuh"

DEFINE_MATMULS(bf16)
// Two terms for each weight need twice the room.
DEFINE_SMALL_MATMULS(f16)

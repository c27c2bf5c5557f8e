// Many rows of activations with blocks of 256 values.

#include "matmul.cuh"

FOR_EACH_K_QUANT(DEFINE_MATMULS)

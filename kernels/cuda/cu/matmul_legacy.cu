// Many rows of activations with blocks of 32 values.

#include "matmul.cuh"

FOR_EACH_LEGACY(DEFINE_MATMULS)

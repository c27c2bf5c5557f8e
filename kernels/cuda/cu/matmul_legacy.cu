// Many rows of activations with blocks of 32 values.

#include "matmul_kernels.cuh"

FOR_EACH_LEGACY(DEFINE_MATMULS)
DEFINE_EIGHT_BIT_MATMULS(mxfp4, mxfp8)

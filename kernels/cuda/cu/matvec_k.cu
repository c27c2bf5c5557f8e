// Few rows of activations with blocks of 256 values.

#include "matvec_blocks.cuh"

FOR_EACH_K_QUANT(DEFINE_MATVEC)

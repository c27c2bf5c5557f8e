// Few rows of activations with blocks of 32 values.

#include "matvec_blocks.cuh"

FOR_EACH_LEGACY(DEFINE_MATVEC)

// Very many rows of activations with blocks of 256 values, on compute capability 9.0.

#include "hopper.cuh"

FOR_EACH_K_QUANT(DEFINE_HOPPERS)

// Very many rows of activations with blocks of 32 values, on compute capability 9.0.

#include "hopper.cuh"

FOR_EACH_LEGACY(DEFINE_HOPPERS)

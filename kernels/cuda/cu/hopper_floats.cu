// Very many rows of activations with weights that are 16-bit numbers, or floats of eight bits, on compute
// capability 9.0.

#include "hopper.cuh"

DEFINE_HOPPER_COPIED(bf16, 256)
DEFINE_HOPPER_COPIED(bf16, 128)
// Two terms for each weight need twice the room.
DEFINE_HOPPER(f16, 128)
DEFINE_HOPPER_SCALED(fp8, 128)

// What is added to the message of a launch that failed: lines of the source, and memory.
#pragma once

#include "accesses.h"

namespace emulation {

// A place in the program as a small number, and back.
int32_t number_of_place(const void *place);
const void *place_of_number(int32_t number);

// `label` and the line of a place go into the message.
void mention(const char *label, const void *place);

// Where an address lies, seen from a region.
void mention(const Region &region, const void *address);

// All of this, appended to `text`, and forgotten.
void write_mentions(char *text, size_t size);

} // namespace emulation

// Launches that overlap: the rule that `await_earlier_launches` in `common.cuh` states. What runs here
// never overlaps; it is checked that it might have.
#pragma once

#include "block.h"

namespace emulation {

// Of memory that blocks share.
void check_time(const Region &region, Access access, const void *place);
// Of a thread that ends.
void check_end(const Thread &thread);
void begin_launch_of_overlap();

} // namespace emulation

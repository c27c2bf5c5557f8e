// What the processor refuses, as a failure of the launch.
#pragma once

namespace emulation {
void catch_faults();
} // namespace emulation

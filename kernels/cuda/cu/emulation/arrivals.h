// What copies need of the barriers that they arrive at.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

void bytes_come(const uint64_t *barrier, size_t n_bytes);

// Whether copies see that there is a barrier.
void check_published(const uint64_t *barrier);

} // namespace emulation

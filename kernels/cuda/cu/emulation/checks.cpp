// What the compiler calls where its own checks of a kernel fail (`-fsanitize`): this program has none
// of the compiler's libraries for it, so that failures end the launch, and nothing else.
#include "block.h"

namespace emulation {
namespace {

// As compilers lay them out.
struct Place {
    const char *file;
    unsigned line, column;
};

struct Mismatch {
    Place place;
    const void *type;
    unsigned char alignment_log2, kind;
};

} // namespace

extern "C" {

[[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(const Mismatch *mismatch, const void *address) {
    const Place &place = mismatch->place;
    if (address == nullptr) {
        fail("a null pointer is used at %s:%u", place.file, place.line);
    }
    fail("%p is not aligned to %u at %s:%u", address, 1u << mismatch->alignment_log2, place.file,
         place.line);
}

[[noreturn]] void __ubsan_handle_out_of_bounds_abort(const Place *place, size_t index) {
    fail("index %zd is outside its array at %s:%u", static_cast<ssize_t>(index), place->file,
         place->line);
}

[[noreturn]] void __ubsan_handle_shift_out_of_bounds_abort(const Place *place, size_t, size_t n_bits) {
    fail("shift by %zd bits at %s:%u", static_cast<ssize_t>(n_bits), place->file, place->line);
}

[[noreturn]] void __ubsan_handle_load_invalid_value_abort(const Place *place, size_t value) {
    fail("%zu is no truth value at %s:%u", value, place->file, place->line);
}

[[noreturn]] void __ubsan_handle_divrem_overflow_abort(const Place *place, size_t, size_t) {
    fail("division by zero at %s:%u", place->file, place->line);
}

} // extern "C"

} // namespace emulation

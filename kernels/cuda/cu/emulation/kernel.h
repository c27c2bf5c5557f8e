// What is known of each kernel: `EXPORT` puts it into a list.
#pragma once

namespace emulation {

// As in `src/device/emulated`.
enum class Kind : unsigned char { pointer = 0, number = 1, real = 2, map = 3 };

// How a kernel is called, and with what.
struct Description {
    void (*invoke)(void *const *arguments);
    const Kind *kinds;
    size_t n_arguments;
};

// Laid out as in `src/device/emulated`.
struct Kernel {
    const char *name;
    Description description;
    // Shared variables of its file.
    unsigned char *shared_begin, *shared_end;
    const Kernel *next;
};

struct Registration : Kernel {
    Registration(const char *name, Description description, unsigned char *begin, unsigned char *end);
};

template <typename Argument> constexpr Kind kind_of() {
    if constexpr (std::is_pointer_v<Argument>) {
        return Kind::pointer;
    } else if constexpr (std::is_same_v<Argument, float>) {
        return Kind::real;
    } else if constexpr (std::is_same_v<Argument, TensorMap>) {
        return Kind::map;
    } else {
        static_assert(std::is_same_v<Argument, unsigned>, "arguments are pointers, unsigned, float and TensorMap");
        return Kind::number;
    }
}

template <typename Argument> Argument value_of(const void *argument) {
    Argument value;
    memcpy(&value, argument, sizeof value);
    return value;
}

template <typename Function, Function function> struct Invocation;

template <typename... Arguments, void (*function)(Arguments...)>
struct Invocation<void (*)(Arguments...), function> {
    // One more, because there is no array of none.
    static constexpr Kind kinds[sizeof...(Arguments) + 1] = {kind_of<Arguments>()..., Kind::pointer};

    template <size_t... Index>
    static void call([[maybe_unused]] void *const *arguments, std::index_sequence<Index...>) {
        function(value_of<Arguments>(arguments[Index])...);
    }

    static void invoke(void *const *arguments) {
        call(arguments, std::index_sequence_for<Arguments...>());
    }

    static Description description() { return {invoke, kinds, sizeof...(Arguments)}; }
};

} // namespace emulation

// Functions of one thread over numbers. Approximations of a device are exact here.
#pragma once

namespace emulation {
template <typename To, typename From> inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

// Where a line of a kernel went wrong: ends the launch, does not come back.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

inline float largest(float a, float b) { return a != a ? b : (a < b ? b : a); }
inline float smallest(float a, float b) { return a != a ? b : (b < a ? b : a); }
inline float reciprocal_root(float value) { return 1.0f / sqrtf(value); }
} // namespace emulation

// The C library has some of these names, as functions that are slower or not for programs.
#define fmaxf(a, b) emulation::largest(a, b)
#define fminf(a, b) emulation::smallest(a, b)
#define rsqrtf(value) emulation::reciprocal_root(value)
#define __expf(value) expf(value)
#define __exp10f(value) exp10f(value)
#define __logf(value) logf(value)
#define __log2f(value) log2f(value)
#define __powf(base, exponent) powf(base, exponent)
#define __sinf(value) sinf(value)
#define __cosf(value) cosf(value)
#define __sincosf(value, sine, cosine) sincosf(value, sine, cosine)

inline float __uint_as_float(unsigned bits) { return emulation::bits_as<float>(bits); }
inline float __int_as_float(int bits) { return emulation::bits_as<float>(bits); }
inline unsigned __float_as_uint(float value) { return emulation::bits_as<unsigned>(value); }
inline int __float_as_int(float value) { return emulation::bits_as<int>(value); }

// To integers: rounded to nearest (ties to even), to zero, down, up; saturating, NaN gives 0.
namespace emulation {
inline int to_int(float whole) {
    if (whole != whole) {
        return 0;
    }
    return whole >= 2147483648.0f ? INT_MAX : whole < -2147483648.0f ? INT_MIN : static_cast<int>(whole);
}
inline unsigned to_unsigned(float whole) {
    return !(whole > 0.0f) ? 0u : whole >= 4294967296.0f ? UINT_MAX : static_cast<unsigned>(whole);
}
} // namespace emulation
inline int __float2int_rn(float value) { return emulation::to_int(rintf(value)); }
inline int __float2int_rz(float value) { return emulation::to_int(truncf(value)); }
inline int __float2int_rd(float value) { return emulation::to_int(floorf(value)); }
inline int __float2int_ru(float value) { return emulation::to_int(ceilf(value)); }
inline unsigned __float2uint_rn(float value) { return emulation::to_unsigned(rintf(value)); }
inline unsigned __float2uint_rz(float value) { return emulation::to_unsigned(truncf(value)); }
inline float __int2float_rn(int value) { return static_cast<float>(value); }
inline float __uint2float_rn(unsigned value) { return static_cast<float>(value); }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float value) { return 1.0f / value; }
inline float __fsqrt_rn(float value) { return sqrtf(value); }
inline float __frsqrt_rn(float value) { return rsqrtf(value); }
inline float __saturatef(float value) { return value > 0.0f ? fminf(value, 1.0f) : 0.0f; }

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline unsigned __brev(unsigned bits) {
    unsigned reversed = 0;
    for (unsigned i = 0; i < 32; i++) {
        reversed |= ((bits >> i) & 1u) << (31 - i);
    }
    return reversed;
}

// Four of the eight bytes of `high` and `low`. What bit 3 of a selector means is not documented.
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selectors) {
    if ((selectors & 0x8888u) != 0) {
        emulation::fail("__byte_perm with selectors %#x", selectors);
    }
    uint64_t bytes = (static_cast<uint64_t>(high) << 32) | low;
    unsigned chosen = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned selector = (selectors >> (4 * i)) & 7u;
        chosen |= static_cast<unsigned>((bytes >> (8 * selector)) & 0xffu) << (8 * i);
    }
    return chosen;
}

inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned n_bits) {
    uint64_t bits = (static_cast<uint64_t>(high) << 32) | low;
    return static_cast<unsigned>((bits << (n_bits & 31u)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned n_bits) {
    uint64_t bits = (static_cast<uint64_t>(high) << 32) | low;
    return static_cast<unsigned>(bits >> (n_bits & 31u));
}

namespace emulation {
template <typename Byte> inline int dot_of_bytes(unsigned a, unsigned b, int sum) {
    unsigned total = static_cast<unsigned>(sum);
    for (unsigned i = 0; i < 32; i += 8) {
        total += static_cast<unsigned>(static_cast<Byte>(a >> i) * static_cast<Byte>(b >> i));
    }
    return static_cast<int>(total);
}
} // namespace emulation
inline int __dp4a(int a, int b, int sum) {
    return emulation::dot_of_bytes<int8_t>(static_cast<unsigned>(a), static_cast<unsigned>(b), sum);
}
inline unsigned __dp4a(unsigned a, unsigned b, unsigned sum) {
    return static_cast<unsigned>(emulation::dot_of_bytes<uint8_t>(a, b, static_cast<int>(sum)));
}

#define EMULATION_MIN_MAX(type)                                                                    \
    inline type min(type a, type b) { return b < a ? b : a; }                                      \
    inline type max(type a, type b) { return a < b ? b : a; }
EMULATION_MIN_MAX(int)
EMULATION_MIN_MAX(unsigned)
EMULATION_MIN_MAX(long)
EMULATION_MIN_MAX(unsigned long)
EMULATION_MIN_MAX(long long)
EMULATION_MIN_MAX(unsigned long long)
#undef EMULATION_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline unsigned min(int a, unsigned b) { return min(static_cast<unsigned>(a), b); }
inline unsigned min(unsigned a, int b) { return min(a, static_cast<unsigned>(b)); }
inline unsigned max(int a, unsigned b) { return max(static_cast<unsigned>(a), b); }
inline unsigned max(unsigned a, int b) { return max(a, static_cast<unsigned>(b)); }

inline float f16_to_f32(uint16_t bits) {
    unsigned sign = static_cast<unsigned>(bits & 0x8000u) << 16;
    unsigned exponent = (bits >> 10) & 31u, fraction = bits & 0x3ffu;
    if (exponent == 0) {
        float value = static_cast<float>(fraction) * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 31) {
        return __uint_as_float(fraction ? 0x7fffffffu : sign | 0x7f800000u);
    }
    return __uint_as_float(sign | ((exponent + 112) << 23) | (fraction << 13));
}

// Rounds to nearest, ties to even.
inline uint16_t f32_to_f16(float value) {
    unsigned bits = __float_as_uint(value), magnitude = bits & 0x7fffffffu;
    unsigned sign = (bits >> 16) & 0x8000u;
    if (magnitude > 0x7f800000u) {
        return 0x7fff;
    }
    if (magnitude >= 0x477ff000u) {
        return static_cast<uint16_t>(sign | 0x7c00u); // From 65520 on: infinity.
    }
    if (magnitude < 0x38800000u) {
        // Below 2^-14 a step is 2^-24, which is a last bit of this sum.
        float shifted = __uint_as_float(magnitude) + 0.5f;
        return static_cast<uint16_t>(sign | (__float_as_uint(shifted) - 0x3f000000u));
    }
    unsigned rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

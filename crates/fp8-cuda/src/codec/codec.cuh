// Element types: what a code is worth, and the code of a value, with the bytes of fp8_core::{decode, encode}. docs/numerics.md, sections 1 to 4.
#pragma once
#include "philox.cuh"

// Rounding; SR: up to 16 random bits, SR_WIDE: up to 32.
enum Rounding { RNE, RNA, RTZ, RTP, RTN, SR, SR_WIDE };

// fp8_kernels::Store, but for type and rounding, which are compiled in.
struct Store {
    Stream random;
    float scale;
    u32 random_bits;
    u32 saturate;
    // What counts of a word of two draws: the topmost `random_bits` of each.
    u32 draw_mask;
    // 1 / scale of a store as most are: by a power of two, far from the ends of FP32, and with 16 random bits if any. 0 of the others.
    float reciprocal;
};

const u32 INFINITY_BITS = 0x7F800000, NAN_BITS = 0x7FC00000, SIGN = 0x80000000;

__device__ inline u32 bits_of(float x) { return __float_as_uint(x); }
__device__ inline float float_of(u32 bits) { return __uint_as_float(bits); }

// x, or the NaN that all devices agree on.
__device__ inline float canonical(float x) { return x != x ? float_of(NAN_BITS) : x; }

// fp8_core::Format in numbers.
template <class C, int EXPONENT, int MANTISSA, int BIAS_, int SPECIALS>
struct Format {
    typedef C Code;
    enum { IEEE, FN, FNUZ };
    static constexpr bool PRESENT = true, WIDE = false;
    static constexpr int MANTISSA_BITS = MANTISSA, BIAS = BIAS_, BITS = 1 + EXPONENT + MANTISSA;
    static constexpr bool UNSIGNED_ZERO = SPECIALS == FNUZ, LIKE_F32 = BIAS_ == 127;
    static constexpr u32 SIGN_MASK = 1u << (BITS - 1), MAGNITUDE = SIGN_MASK - 1;
    static constexpr u32 LARGEST = SPECIALS == IEEE ? MAGNITUDE - (1 << MANTISSA) : SPECIALS == FN ? MAGNITUDE - 1 : MAGNITUDE;
    static constexpr u32 NAN_CODE = SPECIALS == IEEE ? LARGEST + 1 + (1 << (MANTISSA - 1)) : SPECIALS == FN ? MAGNITUDE : SIGN_MASK;
    static constexpr u32 FIRST_SPECIAL = SPECIALS == IEEE ? INFINITY_BITS : NAN_BITS, FIRST_NAN = LARGEST + (SPECIALS == IEEE ? 2 : 1);
    static constexpr u32 SHIFT = 23 - MANTISSA;
    // f32 bits of the smallest normal value; codes of bf16 have the bias of f32.
    static constexpr u32 NORMAL = LIKE_F32 ? 0 : u32(128 - BIAS_) << 23;
};

typedef Format<u8, 5, 2, 15, 0> E5M2;
typedef Format<u8, 4, 3, 7, 1> E4M3;
typedef Format<u8, 5, 2, 16, 2> E5M2Fnuz;
typedef Format<u8, 4, 3, 8, 2> E4M3Fnuz;
typedef Format<u8, 3, 4, 3, 0> E3M4;
typedef Format<u16, 5, 10, 15, 0> F16;
typedef Format<u16, 8, 7, 127, 0> Bf16;

struct F32 {
    typedef float Code;
    static constexpr bool PRESENT = true, WIDE = true, UNSIGNED_ZERO = false;
    static constexpr int BITS = 32, MANTISSA_BITS = 23;
};

// The type of an operand that is not there.
struct None {
    typedef u8 Code;
    static constexpr bool PRESENT = false, WIDE = false, UNSIGNED_ZERO = false;
    static constexpr int BITS = 0, MANTISSA_BITS = 0;
};

// The exact value of a code; NaN: the canonical one, with the sign of the code where the format's NaN has one.
template <class T>
__device__ inline float decode(typename T::Code code) {
    if constexpr (!T::PRESENT) {
        return 0;
    } else if constexpr (T::WIDE) {
        return code;
    } else {
        u32 magnitude = code & T::MAGNITUDE;
        u32 bits = (magnitude << T::SHIFT) + (u32(127 - T::BIAS) << 23);
        if constexpr (!T::LIKE_F32) {
            constexpr float UNIT = 1.0f / (1u << (T::BIAS + T::MANTISSA_BITS - 1));
            if (magnitude < 1u << T::MANTISSA_BITS) bits = bits_of(float(magnitude) * UNIT);
        }
        if (magnitude > T::LARGEST) bits = magnitude == T::LARGEST + 1 ? T::FIRST_SPECIAL : NAN_BITS;
        bits |= u32(code & T::SIGN_MASK) << (32 - T::BITS);
        if (T::UNSIGNED_ZERO && code == T::SIGN_MASK) bits = NAN_BITS;
        return float_of(bits);
    }
}

// Past the integer below |x|, where rounding goes up.
template <int R>
__device__ inline float threshold(bool negative) {
    if (R == RTZ || (R == RTP && negative) || (R == RTN && !negative)) return 2.0f;
    return R == RNA ? 0.5f : 1.17549435e-38f;
}

// The code on a scale without upper end of a magnitude given as f32 bits (fp8_kernels::codec): in units of the last place of the format |x| is an exact f32, the
// neighbours are the integers around it, and a carry out of the mantissa goes where it belongs.
template <class T, int R>
__device__ inline u32 rounded(u32 magnitude, bool negative, u32 random) {
    constexpr u32 FRACTION_BITS = R == SR ? 16 : 0, OFFSET = R == SR ? 0 : 0x4B000000;
    float y;
    u32 base;
    if constexpr (T::LIKE_F32) {
        y = float(magnitude & 0x1FFFF) * float_of((127 - 16 + FRACTION_BITS) << 23);
        base = (magnitude >> 16 & ~1u) - OFFSET;
    } else {
        // To every rounding the subnormals of f32 are what its smallest normal value is; where zero is not, `encode` says so.
        magnitude = max(magnitude, 0x00800000u);
        if (R == SR) magnitude = min(magnitude, 0x7F7FFFFFu);
        u32 exponent = max(magnitude & INFINITY_BITS, T::NORMAL);
        y = float_of(magnitude) * float_of(((254 + T::MANTISSA_BITS + FRACTION_BITS) << 23) - exponent);
        base = (exponent >> T::SHIFT) - ((T::NORMAL >> T::SHIFT) + OFFSET);
    }
    if (R == RNE) return bits_of(y + 8388608.0f) + base;
    if (R == SR) return ((u32(int(y)) + random) >> 16) + base;
    float floor = floorf(y);
    return bits_of(floor + (y - floor >= threshold<R>(negative) ? 1.0f : 0.0f) + 8388608.0f) + base;
}

// The same with up to 32 random bits, in integers.
template <class T>
__device__ inline u32 rounded_wide(u32 magnitude, u32 random, u32 random_bits) {
    u32 field = magnitude >> 23;
    u32 significand = field ? (magnitude & 0x7FFFFF) | 0x800000 : magnitude;
    int exponent = field ? int(field) - 127 : -126, lowest = 1 - T::BIAS, scale = max(exponent, lowest);
    u32 shift = T::SHIFT + (scale - exponent);
    u32 floor = shift < 32 ? significand >> shift : 0;
    u64 rest = significand - (shift < 32 ? floor << shift : 0);
    u64 position = shift < 64 ? (rest << random_bits) >> shift : 0;
    return (u32(scale - lowest) << T::MANTISSA_BITS) + floor + u32((position + random) >> random_bits);
}

// The code of scale * x, rounded once. `random`: of SR the 16-bit draw, of SR_WIDE the 32-bit draw.
template <class T, int R>
__device__ inline typename T::Code encode(const Store& store, float x, u32 random) {
    if constexpr (T::WIDE) {
        return x != x ? float_of(bits_of(x) | 0x00400000) : store.scale * x;
    } else {
        u32 product = bits_of(store.scale * x), magnitude = product & ~SIGN;
        // A NaN keeps its own sign, where the device multiplies to a NaN without one.
        u32 sign = (magnitude > INFINITY_BITS ? bits_of(x) : product) & SIGN;
        u32 infinity = T::LARGEST + (store.saturate ? 0 : 1), overflow = infinity, code;
        if (R == SR_WIDE) {
            code = rounded_wide<T>(magnitude, random >> (32 - store.random_bits), store.random_bits);
        } else {
            code = rounded<T, R>(magnitude, sign, random & store.draw_mask);
        }
        if (R == RNE || R == SR) {
            code = min(code, infinity);
        } else {
            if (R == RTZ || (R == RTP && sign) || (R == RTN && !sign)) overflow = T::LARGEST;
            code = magnitude == INFINITY_BITS ? infinity : code > T::LARGEST ? overflow : code;
            if (magnitude == 0) code = 0;
        }
        if (magnitude > INFINITY_BITS) code = T::NAN_CODE;
        // Formats without negative zero have one zero and one NaN, neither with a sign.
        if (T::UNSIGNED_ZERO && (code == 0 || code == T::NAN_CODE)) return typename T::Code(code);
        return typename T::Code(code | sign >> (32 - T::BITS));
    }
}

// The code of one element, with its own random bits.
template <class T, int R>
__device__ inline typename T::Code encode_at(const Store& store, float x, u64 index) {
    u32 random = R == SR ? draw16(store.random, index) : R == SR_WIDE ? draw32(store.random, index) : 0;
    return encode<T, R>(store, x, random);
}

#include "eight_codes.cuh"

// Eight codes after each other, read, written and converted together: the bytes of `decode` and `encode`, with fewer instructions. What is rare (NaN, and where
// an instruction saturates and a store does not) is found in all eight at once and then done element by element. Part of codec.cuh.
#pragma once
#include "instructions.cuh"

// Sixteen bytes into the card's memory.
__device__ inline void put_words(u32 a, u32 b, u32 c, u32 d, void* place) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(place), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}

// Codes as they lie in memory.
template <class C>
struct alignas(8 * sizeof(C)) Eight {
    union {
        C codes[8];
        u32 words[2 * sizeof(C)];
    };

    // Those that begin at `place` of the card's memory, a boundary of eight; and into it. In assembly, as compilers copy them word by word.
    static __device__ Eight at(const C* place) {
        Eight eight;
        if constexpr (sizeof(C) == 1) {
            asm volatile("ld.global.L2::128B.v2.b32 {%0, %1}, [%2];" : "=r"(eight.words[0]), "=r"(eight.words[1]) : "l"(place));
        } else {
#pragma unroll
            for (int i = 0; i < int(2 * sizeof(C)); i += 4) {
                asm volatile("ld.global.v4.b32 {%0, %1, %2, %3}, [%4];"
                             : "=r"(eight.words[i]), "=r"(eight.words[i + 1]), "=r"(eight.words[i + 2]), "=r"(eight.words[i + 3])
                             : "l"(reinterpret_cast<const u32*>(place) + i));
            }
        }
        return eight;
    }

    __device__ void put(C* place) const {
        if constexpr (sizeof(C) == 1) {
            asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(place), "r"(words[0]), "r"(words[1]) : "memory");
        } else {
#pragma unroll
            for (int i = 0; i < int(2 * sizeof(C)); i += 4) put_words(words[i], words[i + 1], words[i + 2], words[i + 3], reinterpret_cast<u32*>(place) + i);
        }
    }
};

// Formats of a byte that are a half without its last bits, but for a shift and a power of two: all but those with an unsigned zero.
template <class T>
inline constexpr bool HALF_LIKE = T::BITS == 8 && !T::UNSIGNED_ZERO;

// Whether any of the codes has a magnitude of `least` or more.
template <class T>
__device__ inline bool any_from(u32 least, const Eight<typename T::Code>& eight) {
    constexpr u32 EACH = T::BITS == 8 ? 0x01010101 : 0x00010001;
    u32 found = 0;
#pragma unroll
    for (int i = 0; i < int(2 * sizeof(typename T::Code)); i++) {
        found |= (eight.words[i] & T::MAGNITUDE * EACH) + (T::SIGN_MASK - least) * EACH;
    }
    return found & T::SIGN_MASK * EACH;
}

// As `decode` of each; ANY_NAN: but that a NaN need not be the canonical one.
template <class T, bool ANY_NAN = false>
__device__ inline void decode8(const Eight<typename T::Code>& eight, float (&values)[8]) {
    if constexpr (!T::PRESENT) {
        return;
    } else if constexpr (HALF_LIKE<T>) {
        // 2^(15 - bias), exact in all that follows.
        constexpr float FACTOR = 1 << (15 - T::BIAS);
        // Infinity is that of halves where the exponents are as long.
        constexpr u32 SPECIAL = T::LARGEST + (T::BIAS == 15 ? 2 : 1);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 pair = bytes_of(eight.words[i / 2], 0, i % 2 == 0 ? 0x1404 : 0x3424);
            if constexpr (T::MANTISSA_BITS > 2) pair = (pair & 0x80008000) | (pair & 0x7F007F00) >> (T::MANTISSA_BITS - 2);
            from_halves(pair, values[2 * i], values[2 * i + 1]);
            if constexpr (T::BIAS != 15) values[2 * i] *= FACTOR, values[2 * i + 1] *= FACTOR;
        }
        if (!(ANY_NAN && T::BIAS == 15) && __builtin_expect(any_from<T>(SPECIAL, eight), false)) {
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = decode<T>(eight.codes[i]);
        }
    } else if constexpr (T::BITS == 16) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 pair = eight.words[i];
            if constexpr (T::LIKE_F32) values[2 * i] = float_of(pair << 16), values[2 * i + 1] = float_of(pair & 0xFFFF0000);
            else from_halves(pair, values[2 * i], values[2 * i + 1]);
        }
        if (!ANY_NAN && __builtin_expect(any_from<T>(T::LARGEST + 2, eight), false)) {
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = decode<T>(eight.codes[i]);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = decode<T>(eight.codes[i]);
    }
}

// The codes in the topmost bytes of eight words.
__device__ inline void pack(const u32 (&codes)[8], Eight<u8>& eight) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        u32 low = bytes_of(codes[4 * i], codes[4 * i + 1], 0x4473), high = bytes_of(codes[4 * i + 2], codes[4 * i + 3], 0x4473);
        eight.words[i] = bytes_of(low, high, 0x5410);
    }
}

// Draw `i` of eight, in bits 8 to 23.
__device__ inline u32 draw_of(const uint4& draws, int i) { return bytes_of(word(draws, i / 2), 0, i % 2 == 0 ? 0x4104 : 0x4324); }

// Stochastic rounding to a format of a byte. Times 2^(bias - 127), toward zero, a magnitude has the format's exponent in the place of that of f32, and below its
// normal numbers it is the f32 subnormal that is as long: in any case its bits are the code and, below, the position between two codes. What is cut off lies
// below the 16 bits that the draw is added to.
template <class T, bool COMPUTED, int COUNT>
__device__ inline void encode8_stochastic(const Store& store, const float (&values)[COUNT][8], const uint4 (&draws)[COUNT], Eight<u8> (&eights)[COUNT]) {
    constexpr float FACTOR = 1.0f / (1ull << 63) / (1ull << (64 - T::BIAS));
    // So that the code is the topmost byte, without its sign.
    constexpr u32 UP = 24 - T::SHIFT;
    if constexpr (T::FIRST_SPECIAL == INFINITY_BITS) {
        // Infinity is a power of two: in units of it, what is larger is cut off by the multiplication, as is a NaN, which the sum of all tells.
        constexpr float UNIT = float(1 << ((T::LARGEST + 1 >> T::MANTISSA_BITS) - T::BIAS));
        float factor = store.scale * (1 / UNIT), sum = 0;
#pragma unroll
        for (int n = 0; n < COUNT; n++) {
            const float(&x)[8] = values[n];
            float of_eight = ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
            sum = n == 0 ? of_eight : sum + of_eight;
        }
        if (__builtin_expect(sum == sum && store.regular, true)) {
#pragma unroll
            for (int n = 0; n < COUNT; n++) {
                u32 codes[8];
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    u32 position = bits_of(product_toward_zero(within_one(fabsf(values[n][i]) * factor), UNIT * FACTOR));
                    codes[i] = ((position << UP) + draw_of(draws[n], i)) | (bits_of(values[n][i]) & SIGN);
                }
                pack(codes, eights[n]);
            }
            return;
        }
    }
    float infinity = float_of((T::LARGEST + (store.saturate ? 0 : 1)) << T::SHIFT);
#pragma unroll
    for (int n = 0; n < COUNT; n++) {
        u32 codes[8], found = 0;
#pragma unroll
        for (int i = 0; i < 8; i++) {
            float scaled = store.scale * values[n][i];
            u32 position = bits_of(smaller(product_toward_zero(fabsf(scaled), FACTOR), infinity));
            found |= position;
            codes[i] = ((position << UP) + draw_of(draws[n], i)) | (bits_of(scaled) & SIGN);
        }
        pack(codes, eights[n]);
        if (__builtin_expect(found >= INFINITY_BITS, false)) {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                u32 sign = COMPUTED ? bits_of(store.scale) : bits_of(values[n][i]) ^ bits_of(store.scale);
                if (values[n][i] != values[n][i]) eights[n].codes[i] = u8(T::NAN_CODE | (sign & SIGN) >> 24);
            }
        }
    }
}

// Rounding to nearest-even by the instructions that there are; whether there was one, and its result the store's.
template <class T>
__device__ inline bool encode8_nearest(const Store& store, const float (&values)[8], Eight<typename T::Code>& eight) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float low = store.scale * values[2 * i], high = store.scale * values[2 * i + 1];
        if constexpr (T::BITS == 16) {
            if constexpr (T::LIKE_F32) eight.words[i] = to_bfloats(low, high);
            else eight.words[i] = to_halves(low, high);
        } else {
#if __CUDA_ARCH__ >= 890
            u32 pair;
            if constexpr (T::MANTISSA_BITS == 2) pair = to_e5m2(low, high);
            else pair = to_e4m3(low, high);
            eight.words[i / 2] = i % 2 == 0 ? pair : bytes_of(eight.words[i / 2], pair, 0x5410);
#else
            return false;
#endif
        }
    }
    return !any_from<T>(T::LARGEST, eight);
}

// As `encode` of each of COUNT times eight; `first` are the indices of the first ones. COMPUTED: a NaN among the values is the canonical one, which they need not be
// yet. Random bits of all come first, so that one computation waits while others go on.
template <class T, int R, bool COMPUTED, int COUNT>
__device__ inline void encode8(const Store& store, const float (&values)[COUNT][8], const u64 (&first)[COUNT], Eight<typename T::Code> (&eights)[COUNT]) {
    constexpr bool DRAWS = R == SR && !T::WIDE, INSTRUCTION = R == RNE && (T::BITS == 16 || (HALF_LIKE<T> && T::MANTISSA_BITS < 4));
    uint4 draws[COUNT] = {};
    // Eight elements share one block of random bits.
    if constexpr (DRAWS) {
#pragma unroll
        for (int n = 0; n < COUNT; n++) draws[n] = philox(store.random, first[n] / 8);
        // Most often all count.
        if (store.draw_mask != ~0u) {
#pragma unroll
            for (int n = 0; n < COUNT; n++) draws[n].x &= store.draw_mask, draws[n].y &= store.draw_mask, draws[n].z &= store.draw_mask, draws[n].w &= store.draw_mask;
        }
    }
    if constexpr (DRAWS && HALF_LIKE<T>) {
        encode8_stochastic<T, COMPUTED>(store, values, draws, eights);
    } else {
#pragma unroll
        for (int n = 0; n < COUNT; n++) {
            if constexpr (INSTRUCTION) {
                if (__builtin_expect(encode8_nearest<T>(store, values[n], eights[n]), true)) continue;
            }
#pragma unroll
            for (int i = 0; i < 8; i++) {
                float value = COMPUTED ? canonical(values[n][i]) : values[n][i];
                if constexpr (DRAWS) eights[n].codes[i] = encode<T, R>(store, value, half_word(draws[n], i));
                else eights[n].codes[i] = encode_at<T, R>(store, value, first[n] + i);
            }
        }
    }
}

template <class T, int R, bool COMPUTED>
__device__ inline void encode8(const Store& store, const float (&values)[8], u64 first, Eight<typename T::Code>& eight) {
    typedef Eight<typename T::Code> Codes;
    encode8<T, R, COMPUTED>(store, reinterpret_cast<const float(&)[1][8]>(values), reinterpret_cast<const u64(&)[1]>(first), reinterpret_cast<Codes(&)[1]>(eight));
}

// Elements first .. first + 8 of n; 0 past the end. `first` is a multiple of 8, and codes begin on a boundary of 256 bytes.
template <class T>
__device__ inline Eight<typename T::Code> read8(const typename T::Code* codes, u64 first, u64 n) {
    Eight<typename T::Code> eight = {};
    if constexpr (T::PRESENT) {
        if (first + 8 <= n) {
            eight = Eight<typename T::Code>::at(codes + first);
        } else {
#pragma unroll
            for (int i = 0; i < 8; i++) {
                if (first + i < n) eight.codes[i] = codes[first + i];
            }
        }
    }
    return eight;
}

template <class C>
__device__ inline void write8(const Eight<C>& eight, C* codes, u64 first, u64 n) {
    if (first + 8 <= n) {
        eight.put(codes + first);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            if (first + i < n) codes[first + i] = eight.codes[i];
        }
    }
}

// The values of elements first .. first + 8 of n.
template <class T>
__device__ inline void load8(const typename T::Code* codes, u64 first, u64 n, float (&values)[8]) {
    if constexpr (T::PRESENT) decode8<T>(read8<T>(codes, first, n), values);
}

template <class T, int R, bool COMPUTED = false>
__device__ inline void store8(const Store& store, typename T::Code* codes, u64 first, u64 n, const float (&values)[8]) {
    Eight<typename T::Code> eight;
    encode8<T, R, COMPUTED>(store, values, first, eight);
    write8(eight, codes, first, n);
}

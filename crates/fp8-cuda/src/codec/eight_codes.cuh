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

// Stochastic rounding to a format of a byte. Times 2^(bias - 127), toward zero, a magnitude has the format's exponent in the place of that of f32, and below its
// normal numbers it is the f32 subnormal that is as long: in any case its bits are the code and, below, the position between two codes. The draw is added to the
// first 16 bits of that; what is cut off lies below them.
template <class T>
inline constexpr float PLACED = 1.0f / (1ull << 63) / (1ull << (64 - T::BIAS));

// Bits of a position below those that a draw is added to.
template <class T>
inline constexpr u32 BELOW_DRAW = T::SHIFT - 16;

// By 16 bits, of values that a power of two scales, all below the largest; `factor` does both. Two lie in the halves of a word, each with its sign on top.
template <class T>
__device__ inline void encode8_within(float factor, const float (&values)[8], const uint4& draws, Eight<u8>& eight) {
    constexpr u32 UP = 24 - T::SHIFT;
    u32 pairs[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 positions[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 position = bits_of(product_toward_zero(values[2 * i + half], factor));
            positions[half] = shifted_sum<BELOW_DRAW<T>>(half_word(draws, 2 * i + half), position);
        }
        u32 halves = bytes_of(positions[0], positions[1], 0x7632);
        pairs[i] = chosen_bits<0x80008000>(halves, halves << UP);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) eight.words[i] = bytes_of(pairs[2 * i], pairs[2 * i + 1], 0x7531);
}

// Whether all were such values, and encoded.
template <class T, int COUNT>
__device__ inline bool encode8_stochastic(const Store& store, const float (&values)[COUNT][8], const uint4 (&draws)[COUNT], Eight<u8> (&eights)[COUNT]) {
    constexpr u32 LARGEST_BITS = (T::LARGEST << T::SHIFT) + (u32(127 - T::BIAS) << 23);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < COUNT; n++) {
        const float(&x)[8] = values[n];
        float of_eight = ((fabsf(x[0]) + fabsf(x[1])) + (fabsf(x[2]) + fabsf(x[3]))) + ((fabsf(x[4]) + fabsf(x[5])) + (fabsf(x[6]) + fabsf(x[7])));
        sum = n == 0 ? of_eight : sum + of_eight;
    }
    // Nothing is less than 0, and no NaN less than anything.
    if (!(sum < float_of(LARGEST_BITS) * store.reciprocal)) return false;
#pragma unroll
    for (int n = 0; n < COUNT; n++) encode8_within<T>(store.scale * PLACED<T>, values[n], draws[n], eights[n]);
    return true;
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
    }
    if constexpr (DRAWS && HALF_LIKE<T>) {
        if (__builtin_expect(encode8_stochastic<T>(store, values, draws, eights), true)) return;
    }
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

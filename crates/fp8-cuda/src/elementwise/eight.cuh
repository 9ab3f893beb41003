// Kernels whose threads make eight elements after each other, several times.
#pragma once
#include "codec.cuh"

// The first element of this thread.
__device__ inline u64 first_element() { return 8 * (u64(blockIdx.x) * blockDim.x + threadIdx.x); }

// Calls `body(first, load(first))` for the COUNT eights of this thread, a block of threads apart; all are read before the first is worked on, so many loads are
// under way at once.
template <u32 COUNT, class Load, class Body>
__device__ inline void each_eight(u64 n, Load load, Body body) {
    u64 start = 8 * (u64(blockIdx.x) * COUNT * blockDim.x + threadIdx.x);
    decltype(load(u64(0))) loaded[COUNT];
#pragma unroll
    for (u32 at = 0; at < COUNT; at++) {
        u64 first = start + 8 * at * blockDim.x;
        if (first < n) loaded[at] = load(first);
    }
#pragma unroll
    for (u32 at = 0; at < COUNT; at++) {
        u64 first = start + 8 * at * blockDim.x;
        if (first < n) body(first, loaded[at]);
    }
}

// What two or three operands hold.
template <class First, class Second, class Third = None>
struct Loaded {
    Eight<typename First::Code> a;
    Eight<typename Second::Code> b;
    Eight<typename Third::Code> c;
};

// values += addend, where there is one; a NaN need not be the canonical one.
template <class T>
__device__ inline void add8(const Eight<typename T::Code>& addend, float (&values)[8]) {
    if constexpr (T::PRESENT) {
        float more[8];
        decode8<T, true>(addend, more);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = values[i] + more[i];
    }
}

template <class T>
__device__ inline void add8(const typename T::Code* addend, u64 first, u64 n, float (&values)[8]) {
    if constexpr (T::PRESENT) add8<T>(read8<T>(addend, first, n), values);
}

// The values of dy where y > 0, else 0; of all dy where there is no y. ANY_NAN: as of decode8.
template <class Error, class Output, bool ANY_NAN>
__device__ inline void masked8(const Eight<typename Error::Code>& dy, const Eight<typename Output::Code>& y, float (&values)[8]) {
    if constexpr (HALF_LIKE<Output> && Error::BITS == 8) {
        // In all bytes of a word at once. The code of zero is zero.
        Eight<typename Error::Code> kept = dy;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            u32 magnitudes = y.words[i] & 0x7F7F7F7F;
            u32 positive = (magnitudes + 0x7F7F7F7F) & ~(magnitudes + (0x80 - Output::FIRST_NAN) * 0x01010101) & ~y.words[i];
            kept.words[i] &= spread_signs(positive);
        }
        decode8<Error, ANY_NAN>(kept, values);
    } else {
        decode8<Error, ANY_NAN>(dy, values);
        if constexpr (Output::PRESENT) {
            float outputs[8];
            decode8<Output, true>(y, outputs);
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = outputs[i] > 0 ? values[i] : 0;
        }
    }
}

// max(x, 0); NaN stays NaN, as does the sign of zero.
__device__ inline float relu(float x) { return x < 0 ? 0 : x; }

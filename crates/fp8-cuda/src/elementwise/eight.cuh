// Kernels whose threads make eight elements after each other.
#pragma once
#include "codec.cuh"

// The first element of this thread.
__device__ inline u64 first_element() { return 8 * (u64(blockIdx.x) * blockDim.x + threadIdx.x); }

// values += addend, where there is one.
template <class T>
__device__ inline void add8(const typename T::Code* addend, u64 first, u64 n, float (&values)[8]) {
    if constexpr (T::PRESENT) {
        float more[8];
        load8<T>(addend, first, n, more);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = canonical(values[i] + more[i]);
    }
}

// dy = dy where y > 0, else 0, where there is a y.
template <class T>
__device__ inline void mask8(const typename T::Code* y, u64 first, u64 n, float (&dy)[8]) {
    if constexpr (T::PRESENT) {
        float outputs[8];
        load8<T>(y, first, n, outputs);
#pragma unroll
        for (int i = 0; i < 8; i++) dy[i] = outputs[i] > 0 ? dy[i] : 0;
    }
}

// max(x, 0); NaN stays NaN, as does the sign of zero.
__device__ inline float relu(float x) { return x < 0 ? 0 : x; }

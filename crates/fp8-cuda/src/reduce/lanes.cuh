// Sums of 16 interleaved parts, added as a tree: 16 threads after each other, a part each (docs/numerics.md, section 6).
#pragma once
#include "codec.cuh"

const u32 LANES = 16;

// Which of the groups of 16 threads this is, and which of its threads.
__device__ inline u32 group() { return (blockIdx.x * blockDim.x + threadIdx.x) / LANES; }
__device__ inline u32 lane() { return threadIdx.x % LANES; }

// i with i + 8, + 4, + 2, + 1; the result in all 16 threads. All threads of the warp must take part.
template <class F>
__device__ inline F tree(F part) {
#pragma unroll
    for (u32 half = 8; half > 0; half /= 2) {
        F other = __shfl_down_sync(~0u, part, half, LANES);
        part = part + other;
    }
    return __shfl_sync(~0u, part, 0, LANES);
}

// The sum of term(i), i < n.
template <class F, class T>
__device__ inline F lanes_sum(u32 n, T term) {
    F part = 0;
    for (u32 i = lane(); i < n; i += LANES) part = part + term(i);
    return tree(part);
}

// The largest of term(i) but NaN; -infinity of none.
template <class T>
__device__ inline float lanes_most(u32 n, T term) {
    float most = -float_of(INFINITY_BITS);
    for (u32 i = lane(); i < n; i += LANES) {
        float x = term(i);
        most = x > most ? x : most;
    }
    for (u32 half = 8; half > 0; half /= 2) {
        float other = __shfl_xor_sync(~0u, most, half, LANES);
        most = other > most ? other : most;
    }
    return most;
}

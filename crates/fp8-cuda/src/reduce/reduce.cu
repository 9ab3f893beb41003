// Reductions of x to one number, whatever the order.
#include "codec.cuh"

// Calls `f` with each element, whichever thread has it.
template <class F>
__device__ inline void each(const X::Code* x, u64 n, F f) {
    u64 step = 8 * u64(gridDim.x) * blockDim.x;
    for (u64 first = 8 * (u64(blockIdx.x) * blockDim.x + threadIdx.x); first < n; first += step) {
        float values[8];
        load8<X>(x, first, n, values);
        for (u64 i = 0; i < 8 && first + i < n; i++) f(values[i]);
    }
}

// most: at least the bits of each |x|, which order as the numbers do, NaN above all.
extern "C" __global__ void amax(const X::Code* x, u32* most, u64 n) {
    u32 bits = 0;
    each(x, n, [&](float value) { bits = max(bits, bits_of(value) & ~SIGN); });
    bits = __reduce_max_sync(~0u, bits);
    if (threadIdx.x % 32 == 0) atomicMax(most, bits);
}

// counts: of Inf and NaN, and of zeros.
extern "C" __global__ void count(const X::Code* x, u64* counts, u64 n) {
    u32 non_finite = 0, zeros = 0;
    each(x, n, [&](float value) {
        non_finite += (bits_of(value) & INFINITY_BITS) == INFINITY_BITS;
        zeros += value == 0;
    });
    non_finite = __reduce_add_sync(~0u, non_finite), zeros = __reduce_add_sync(~0u, zeros);
    if (threadIdx.x % 32 == 0) atomicAdd(counts, non_finite), atomicAdd(counts + 1, zeros);
}

// Reductions of x to one number.
#include "lanes.cuh"

// Elements of a chunk.
const u32 CHUNK = 32768;

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

// parts (chunks): the sums of chunks of x, or of the squares of x / x_scale.
extern "C" __global__ void chunk_sums(const X::Code* x, u32 squares, float x_scale, float* parts, u64 n) {
    u64 first = u64(group()) * CHUNK;
    u32 len = first < n ? u32(min(u64(CHUNK), n - first)) : 0;
    float sum = lanes_sum<float>(len, [&](u32 i) {
        float value = decode<X>(x[first + i]);
        if (!squares) return value;
        value = canonical(value / x_scale);
        return value * value;
    });
    if (len > 0 && lane() == 0) parts[group()] = sum;
}

// total = the sum of the parts, in FP64, ascending.
extern "C" __global__ void total(const float* parts, u32 count, float* total) {
    double sum = -0.0;
#pragma unroll 16
    for (u32 i = 0; i < count; i++) sum = sum + double(parts[i]);
    *total = canonical(float(sum));
}

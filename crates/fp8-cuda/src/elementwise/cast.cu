#include "eight.cuh"

// Eights of a thread, a block of threads apart: so many loads are under way at once.
const u32 AT_ONCE = 2;

// y = store(x / x_scale).
extern "C" __global__ void cast(const X::Code* x, float x_scale, Store store, Y::Code* y, u64 n) {
    u64 start = 8 * (u64(blockIdx.x) * AT_ONCE * blockDim.x + threadIdx.x);
    float values[AT_ONCE][8];
#pragma unroll
    for (u32 at = 0; at < AT_ONCE; at++) load8<X>(x, start + 8 * at * blockDim.x, n, values[at]);
#pragma unroll
    for (u32 at = 0; at < AT_ONCE; at++) {
        u64 first = start + 8 * at * blockDim.x;
        if (first >= n) return;
        if (x_scale != 1.0f) {
#pragma unroll
            for (int i = 0; i < 8; i++) values[at][i] = canonical(values[at][i] / x_scale);
        }
        store8<Y, Y_ROUNDING>(store, y, first, n, values[at]);
    }
}

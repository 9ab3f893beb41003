#include "eight.cuh"

// y = store(x / x_scale).
extern "C" __global__ void cast(const X::Code* x, float x_scale, Store store, Y::Code* y, u64 n) {
    auto load = [&](u64 first) { return read8<X>(x, first, n); };
    each_eight<AT_ONCE>(n, load, [&](u64 first, const Eight<X::Code>& codes) {
        float values[8];
        decode8<X>(codes, values);
        if (x_scale != 1.0f) {
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = canonical(values[i] / x_scale);
        }
        store8<Y, Y_ROUNDING>(store, y, first, n, values);
    });
}

#include "eight.cuh"

// y = store((draw >= threshold ? factor x : 0) + residual).
extern "C" __global__ void dropout(const X::Code* x, u32 threshold, float factor, Stream mask, const R::Code* residual, Store store, Y::Code* y, u64 n) {
    auto load = [&](u64 first) { return Loaded<X, R>{read8<X>(x, first, n), read8<R>(residual, first, n)}; };
    each_eight<AT_ONCE>(n, load, [&](u64 first, const Loaded<X, R>& loaded) {
        float values[8];
        decode8<X, true>(loaded.a, values);
        uint4 words = philox(mask, first / 8);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            // The draw in the upper half decides, whatever is below.
            u32 draw = word(words, i / 2) << (i % 2 == 0 ? 16 : 0);
            values[i] = threshold < 65536 && draw >= threshold << 16 ? factor * values[i] : 0;
        }
        add8<R>(loaded.b, values);
        store8<Y, Y_ROUNDING, true>(store, y, first, n, values);
    });
}

#include "eight.cuh"

// y = store(relu?(a + b)).
extern "C" __global__ void add(const A::Code* a, const B::Code* b, u32 with_relu, Store store, Y::Code* y, u64 n) {
    auto load = [&](u64 first) { return Loaded<A, B>{read8<A>(a, first, n), read8<B>(b, first, n)}; };
    each_eight<AT_ONCE>(n, load, [&](u64 first, const Loaded<A, B>& loaded) {
        float values[8];
        decode8<A, B::PRESENT>(loaded.a, values);
        add8<B>(loaded.b, values);
        if (with_relu) {
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = relu(values[i]);
        }
        store8<Y, Y_ROUNDING, B::PRESENT>(store, y, first, n, values);
    });
}

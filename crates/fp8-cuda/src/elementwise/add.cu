#include "eight.cuh"

// y = store(relu?(a + b)).
extern "C" __global__ void add(const A::Code* a, const B::Code* b, u32 with_relu, Store store, Y::Code* y, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8];
    load8<A>(a, first, n, values);
    add8<B>(b, first, n, values);
    if (with_relu) {
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = relu(values[i]);
    }
    store8<Y, Y_ROUNDING>(store, y, first, n, values);
}

#include "eight.cuh"

// y = store((draw >= threshold ? factor x : 0) + residual).
extern "C" __global__ void dropout(const X::Code* x, u32 threshold, float factor, Stream mask, const R::Code* residual, Store store, Y::Code* y, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8];
    load8<X>(x, first, n, values);
    uint4 words = philox(mask, first / 8);
#pragma unroll
    for (int i = 0; i < 8; i++) values[i] = half_word(words, i) >= threshold ? canonical(factor * values[i]) : 0;
    add8<R>(residual, first, n, values);
    store8<Y, Y_ROUNDING>(store, y, first, n, values);
}

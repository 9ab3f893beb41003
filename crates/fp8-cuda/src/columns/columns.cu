#include "eight.cuh"

// y (rows, count) = store(columns begin .. begin + count of x (rows, total), plus residual).
extern "C" __global__ void columns(const X::Code* x, u32 total, u32 begin, u32 count, const R::Code* residual, Store store, Y::Code* y, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8] = {};
    for (u32 i = 0; i < 8 && first + i < n; i++) {
        values[i] = decode<X>(x[(first + i) / count * total + begin + (first + i) % count]);
    }
    add8<R>(residual, first, n, values);
    store8<Y, Y_ROUNDING, R::PRESENT>(store, y, first, n, values);
}

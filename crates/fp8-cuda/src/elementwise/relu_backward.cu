#include "eight.cuh"

// dx = store(dy where y > 0, plus residual).
extern "C" __global__ void relu_backward(const Y::Code* y, const DY::Code* dy, const R::Code* residual, Store store, DX::Code* dx, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8];
    load8<DY>(dy, first, n, values);
    mask8<Y>(y, first, n, values);
    add8<R>(residual, first, n, values);
    store8<DX, DX_ROUNDING>(store, dx, first, n, values);
}

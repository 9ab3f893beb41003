#include "eight.cuh"

// dx = store(dy where y > 0, plus residual).
extern "C" __global__ void relu_backward(const Y::Code* y, const DY::Code* dy, const R::Code* residual, Store store, DX::Code* dx, u64 n) {
    typedef Loaded<DY, Y, R> All;
    auto load = [&](u64 first) { return All{read8<DY>(dy, first, n), read8<Y>(y, first, n), read8<R>(residual, first, n)}; };
    each_eight<AT_ONCE>(n, load, [&](u64 first, const All& loaded) {
        float values[8];
        masked8<DY, Y, R::PRESENT>(loaded.a, loaded.b, values);
        add8<R>(loaded.c, values);
        store8<DX, DX_ROUNDING, R::PRESENT>(store, dx, first, n, values);
    });
}

// With n = (x - mean) / sqrt(variance + epsilon), and dy masked by y > 0: dx = store(a dy + b (x - mean) + c) per channel, dresidual = store(dy + residual_error).
#include "octets.cuh"

struct Operands {
    Eight<DY::Code> dy;
    Eight<X::Code> x;
    Eight<Y::Code> y;
    Eight<R::Code> residual_error;
};

// Blocks of a multiprocessor, and rows that a thread works on at a time: for as many as registers suffice.
const u32 RESIDENT = X::BITS == 8 ? 3 : 2, ROWS_AT_ONCE = DR::PRESENT || X::BITS > 16 ? 1 : 2;

extern "C" __global__ void __launch_bounds__(256, RESIDENT) backward(Rows size, const DY::Code* dy, const X::Code* x, const Y::Code* y, const R::Code* residual_error, const float* mean, const float* lines, Store dx_store, DX::Code* dx, Store dresidual_store, DR::Code* dresidual) {
    Octet octet = octet_of(size);
    float means[8], a[8], b[8], c[8];
    read_line(mean, octet, means);
    read_line(lines, octet, a), read_line(lines + size.columns, octet, b), read_line(lines + 2 * size.columns, octet, c);
    auto load = [&](u64 first) {
        return Operands{read_octet<DY>(dy, first, octet), read_octet<X>(x, first, octet), read_octet<Y>(y, first, octet), read_octet<R>(residual_error, first, octet)};
    };
    each_row<ROWS_AT_ONCE>(size, octet, load, [&](u64 first, const Operands& loaded) {
        float errors[8], values[8];
        masked8<DY, Y, R::PRESENT || !DR::PRESENT>(loaded.dy, loaded.y, errors);
        decode8<X, true>(loaded.x, values);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = a[i] * errors[i] + b[i] * (values[i] - means[i]) + c[i];
        store_octet<DX, DX_ROUNDING>(dx_store, dx, first, octet, values);
        if constexpr (DR::PRESENT) {
            add8<R>(loaded.residual_error, errors);
            store_octet<DR, DR_ROUNDING, R::PRESENT>(dresidual_store, dresidual, first, octet, errors);
        }
    });
}

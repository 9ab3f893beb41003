#include "octets.cuh"

// Blocks of a multiprocessor, and rows that a thread works on at a time: for as many as registers suffice.
const u32 RESIDENT = ALIGNED && X::BITS + R::BITS + Y::BITS <= 16 ? 4 : 3, ROWS_AT_ONCE = X::BITS + R::BITS <= 32 ? 2 : 1;

// y = store(relu?((x - mean) (gamma / sqrt(variance + epsilon)) + beta + residual)).
extern "C" __global__ void __launch_bounds__(256, RESIDENT) batch_norm(Rows size, const X::Code* x, const float* mean, const float* variance, const float* gamma, const float* beta, float epsilon, const R::Code* residual, u32 with_relu, Store store, Y::Code* y) {
    // Of the block's columns, each computed once.
    __shared__ float factors[8 * 256];
    for (u32 i = threadIdx.x; i < 8 * size.width; i += blockDim.x) {
        u32 column = 8 * size.width * blockIdx.y + i;
        if (column < size.columns) factors[i] = gamma[column] * (1.0f / sqrtf(variance[column] + epsilon));
    }
    __syncthreads();
    Octet octet = octet_of(size);
    float means[8], factor[8], betas[8];
    read_line(mean, octet, means), read_line(beta, octet, betas);
#pragma unroll
    for (int i = 0; i < 8; i++) factor[i] = factors[threadIdx.x % size.width * 8 + i];
    // Where no sum is -0, which ReLU leaves as it is, a ReLU of codes is one of values, for a quarter of the instructions.
    bool of_codes = HALF_LIKE<Y> && ALIGNED && with_relu && store.reciprocal > 0;
#pragma unroll
    for (int i = 0; i < 8; i++) of_codes &= bits_of(betas[i]) != SIGN;
    u32 negative = of_codes ? ~0u : 0;
    // A mask, where a compiler that knows that it has two values would choose between two results.
    asm volatile("" : "+r"(negative));
    auto load = [&](u64 first) { return Loaded<X, R>{read_octet<X>(x, first, octet), read_octet<R>(residual, first, octet)}; };
    each_row<ROWS_AT_ONCE>(size, octet, load, [&](u64 first, const Loaded<X, R>& loaded) {
        float values[8];
        decode8<X, true>(loaded.a, values);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = (values[i] - means[i]) * factor[i] + betas[i];
        add8<R>(loaded.b, values);
        if (with_relu && !of_codes) {
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = relu(values[i]);
        }
        if constexpr (HALF_LIKE<Y> && ALIGNED) {
            Eight<Y::Code> codes;
            encode8<Y, Y_ROUNDING, true>(store, values, first, codes);
#pragma unroll
            for (int i = 0; i < 2; i++) codes.words[i] &= ~(spread_signs(codes.words[i]) & negative);
            write_octet(codes, y, first, octet);
        } else {
            store_octet<Y, Y_ROUNDING>(store, y, first, octet, values);
        }
    });
}

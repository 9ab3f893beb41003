#include "octets.cuh"

// y = store(relu?((x - mean) (gamma / sqrt(variance + epsilon)) + beta + residual)).
extern "C" __global__ void __launch_bounds__(256, 3) batch_norm(Rows size, const X::Code* x, const float* mean, const float* variance, const float* gamma, const float* beta, float epsilon, const R::Code* residual, u32 with_relu, Store store, Y::Code* y) {
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
    auto load = [&](u64 first) { return Loaded<X, R>{read_octet<X>(x, first, octet), read_octet<R>(residual, first, octet)}; };
    each_row<4>(size, octet, load, [&](u64 first, const Loaded<X, R>& loaded) {
        float values[8];
        decode8<X, true>(loaded.a, values);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = (values[i] - means[i]) * factor[i] + betas[i];
        add8<R>(loaded.b, values);
        if (with_relu) {
#pragma unroll
            for (int i = 0; i < 8; i++) values[i] = relu(values[i]);
        }
        store_octet<Y, Y_ROUNDING>(store, y, first, octet, values);
    });
}

#include "eight.cuh"

// y = store(relu?((x - mean) (gamma / sqrt(variance + epsilon)) + beta + residual)).
extern "C" __global__ void batch_norm(const X::Code* x, const float* mean, const float* variance, const float* gamma, const float* beta, float epsilon, const R::Code* residual, u32 with_relu, u32 channels, Store store, Y::Code* y, u64 n) {
    u64 first = first_element();
    if (first >= n) return;
    float values[8];
    load8<X>(x, first, n, values);
    u32 channel = u32(first % channels);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        float factor = gamma[channel] * (1.0f / sqrtf(variance[channel] + epsilon));
        values[i] = canonical((values[i] - mean[channel]) * factor + beta[channel]);
        channel = channel + 1 == channels ? 0 : channel + 1;
    }
    add8<R>(residual, first, n, values);
    if (with_relu) {
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] = relu(values[i]);
    }
    store8<Y, Y_ROUNDING>(store, y, first, n, values);
}
